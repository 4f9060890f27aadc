/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-config.c: reads scheduler_config.json.  The rule is that nothing which changes the
 * numbers is passed over in silence: every option of the three classes stands in one table, with
 * what is done about it.
 */
#include "kit-sampler.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum
{
  OPTION_READ,      /* taken below */
  OPTION_IDLE,      /* has no effect with flow sigmas, whatever its value */
  OPTION_MUST_BE_NO /* would change the numbers: null, false and [] are accepted */
} OptionUse;

static const struct
{
  const char *name;
  OptionUse use;
} options[] = {
  { "_class_name", OPTION_READ },
  { "_diffusers_version", OPTION_IDLE },
  { "num_train_timesteps", OPTION_READ },
  { "prediction_type", OPTION_READ },
  { "flow_shift", OPTION_READ },
  { "shift", OPTION_READ },
  { "solver_order", OPTION_READ },
  { "solver_type", OPTION_READ },
  { "predict_x0", OPTION_READ },
  { "lower_order_final", OPTION_READ },
  { "use_flow_sigmas", OPTION_READ },
  { "final_sigmas_type", OPTION_READ },
  { "algorithm_type", OPTION_READ },
  { "euler_at_final", OPTION_IDLE },     /* at sigma 0 the last step is Euler's anyway */
  { "lambda_min_clipped", OPTION_IDLE }, /* of sigmas that are made from betas */
  { "variance_type", OPTION_IDLE },      /* of noise prediction */
  { "beta_start", OPTION_IDLE },
  { "beta_end", OPTION_IDLE },
  { "beta_schedule", OPTION_IDLE },
  { "trained_betas", OPTION_IDLE },
  { "rescale_betas_zero_snr", OPTION_IDLE },
  { "timestep_spacing", OPTION_IDLE },
  { "steps_offset", OPTION_IDLE },
  { "dynamic_thresholding_ratio", OPTION_IDLE }, /* of `thresholding` */
  { "sample_max_value", OPTION_IDLE },           /* of `thresholding` */
  { "sigma_min", OPTION_IDLE },                  /* of Karras' and the exponential sigmas */
  { "sigma_max", OPTION_IDLE },                  /* the same */
  { "time_shift_type", OPTION_IDLE },            /* of dynamic shifting */
  { "base_shift", OPTION_IDLE },                 /* of dynamic shifting */
  { "max_shift", OPTION_IDLE },                  /* of dynamic shifting */
  { "base_image_seq_len", OPTION_IDLE },         /* of dynamic shifting */
  { "max_image_seq_len", OPTION_IDLE },          /* of dynamic shifting */
  { "thresholding", OPTION_MUST_BE_NO },
  { "disable_corrector", OPTION_MUST_BE_NO },
  { "solver_p", OPTION_MUST_BE_NO },
  { "use_karras_sigmas", OPTION_MUST_BE_NO },
  { "use_lu_lambdas", OPTION_MUST_BE_NO },
  { "use_exponential_sigmas", OPTION_MUST_BE_NO },
  { "use_beta_sigmas", OPTION_MUST_BE_NO },
  { "use_dynamic_shifting", OPTION_MUST_BE_NO },
  { "shift_terminal", OPTION_MUST_BE_NO },
  { "invert_sigmas", OPTION_MUST_BE_NO },
  { "stochastic_sampling", OPTION_MUST_BE_NO },
};

static int
is_no (const json_t *value)
{
  return json_is_null (value) || json_is_false (value)
         || (json_is_array (value) && json_array_size (value) == 0);
}

static int
check_options (json_t *root, char *err, size_t err_size)
{
  const char *key;
  json_t *value;
  json_object_foreach (root, key, value)
  {
    size_t i = 0;
    while (i < sizeof options / sizeof options[0] && strcmp (options[i].name, key) != 0)
      i++;
    const int known = i < sizeof options / sizeof options[0];
    if ((!known || options[i].use == OPTION_MUST_BE_NO) && !is_no (value))
      {
        snprintf (
            err, err_size,
            "option '%.64s' of the scheduler's configuration is %s: remove it or set it to null",
            key, known ? "not implemented" : "unknown");
        return -1;
      }
  }
  return 0;
}

static int
get_bool (json_t *root, const char *key, int fallback, int *out, char *err, size_t err_size)
{
  const json_t *value = json_object_get (root, key);
  *out = fallback;
  if (value == NULL)
    return 0;
  if (!json_is_boolean (value))
    {
      snprintf (err, err_size, "'%s' is no boolean", key);
      return -1;
    }
  *out = json_is_true (value);
  return 0;
}

static int
get_int (json_t *root, const char *key, int64_t fallback, int64_t min, int64_t max, int64_t *out,
         char *err, size_t err_size)
{
  const json_t *value = json_object_get (root, key);
  *out = fallback;
  if (value == NULL)
    return 0;
  if (!json_is_integer (value) || json_integer_value (value) < min
      || json_integer_value (value) > max)
    {
      char *text = json_dumps (value, JSON_ENCODE_ANY | JSON_COMPACT);
      snprintf (err, err_size, "'%s' is %.40s, expected an integer from %lld to %lld", key,
                text != NULL ? text : "not readable", (long long)min, (long long)max);
      free (text);
      return -1;
    }
  *out = json_integer_value (value);
  return 0;
}

/* One of the names in `names` (NULL-terminated), as its index. */
static int
get_enum (json_t *root, const char *key, int fallback, const char *const *names, int *out,
          char *err, size_t err_size)
{
  const json_t *value = json_object_get (root, key);
  *out = fallback;
  if (value == NULL)
    return 0;
  const char *text = json_string_value (value);
  for (int i = 0; text != NULL && names[i] != NULL; i++)
    if (strcmp (text, names[i]) == 0)
      {
        *out = i;
        return 0;
      }
  int used = snprintf (err, err_size, "'%s' is '%.64s', expected", key,
                       text != NULL ? text : "(no string)");
  for (int i = 0; names[i] != NULL && used >= 0 && (size_t)used < err_size; i++)
    used += snprintf (err + used, err_size - (size_t)used, "%s '%s'", i > 0 ? " or" : "", names[i]);
  return -1;
}

static int
get_shift (json_t *root, const char *key, double *out, char *err, size_t err_size)
{
  const json_t *value = json_object_get (root, key);
  *out = 1;
  if (value == NULL)
    return 0;
  *out = json_number_value (value);
  if (!json_is_number (value) || !(*out > 0 && *out <= 1000))
    {
      snprintf (err, err_size, "'%s' is %g, expected a number above 0, up to 1000", key, *out);
      return -1;
    }
  return 0;
}

static int
read_unipc (json_t *root, SoraKitSamplerConfig *c, char *err, size_t err_size)
{
  static const char *const predictions[] = { "flow_prediction", "sample", NULL };
  static const char *const solvers[] = { "bh1", "bh2", NULL };
  static const char *const finals[] = { "sigma_min", "zero", NULL };
  int flow, predict_x0, prediction, solver;
  int64_t order;
  if (get_bool (root, "use_flow_sigmas", 0, &flow, err, err_size) != 0
      || get_bool (root, "predict_x0", 1, &predict_x0, err, err_size) != 0
      || get_bool (root, "lower_order_final", 1, &c->lower_order_final, err, err_size) != 0
      || get_int (root, "solver_order", 2, 1, 3, &order, err, err_size) != 0
      || get_enum (root, "prediction_type", -1, predictions, &prediction, err, err_size) != 0
      || get_enum (root, "solver_type", 1, solvers, &solver, err, err_size) != 0
      || get_enum (root, "final_sigmas_type", 1, finals, &c->final_sigma_zero, err, err_size) != 0
      || get_shift (root, "flow_shift", &c->flow_shift, err, err_size) != 0)
    return -1;
  if (prediction < 0)
    {
      snprintf (err, err_size,
                "'prediction_type' is missing, expected 'flow_prediction' or 'sample'");
      return -1;
    }
  if (!flow || !predict_x0)
    {
      snprintf (err, err_size,
                "'%s' is false: only flow-matching checkpoints with data prediction are supported",
                flow ? "predict_x0" : "use_flow_sigmas");
      return -1;
    }
  if (!c->lower_order_final && order > (c->final_sigma_zero ? 1 : 2))
    {
      snprintf (err, err_size,
                "'lower_order_final' is false with 'solver_order' %d and 'final_sigmas_type' '%s': "
                "the last step has no finite result",
                (int)order, finals[c->final_sigma_zero]);
      return -1;
    }
  c->prediction = (SoraKitPrediction)prediction;
  c->solver_order = (int)order;
  c->solver_bh = solver + 1;
  return 0;
}

static int
read_euler (json_t *root, SoraKitSamplerConfig *c, char *err, size_t err_size)
{
  /* The class has no such option; our checkpoints say with it what the model predicts. */
  static const char *const predictions[] = { "flow_prediction", "sample", NULL };
  int prediction;
  if (get_enum (root, "prediction_type", 0, predictions, &prediction, err, err_size) != 0
      || get_shift (root, "shift", &c->flow_shift, err, err_size) != 0)
    return -1;
  c->prediction = (SoraKitPrediction)prediction;
  return 0;
}

static int
read_dpm (json_t *root, SoraKitSamplerConfig *c, char *err, size_t err_size)
{
  static const char *const predictions[] = { "flow_prediction", "sample", NULL };
  static const char *const algorithms[] = { "dpmsolver++", NULL };
  /* The class takes UniPC's names for the midpoint rule, so that it can be made of its file. */
  static const char *const solvers[] = { "midpoint", "heun", "bh1", "bh2", "logrho", NULL };
  static const char *const finals[] = { "zero", NULL };
  int flow, prediction, solver, unused;
  int64_t order;
  if (get_bool (root, "use_flow_sigmas", 0, &flow, err, err_size) != 0
      || get_bool (root, "lower_order_final", 1, &c->lower_order_final, err, err_size) != 0
      || get_int (root, "solver_order", 2, 1, 3, &order, err, err_size) != 0
      || get_enum (root, "algorithm_type", 0, algorithms, &unused, err, err_size) != 0
      || get_enum (root, "prediction_type", -1, predictions, &prediction, err, err_size) != 0
      || get_enum (root, "solver_type", 0, solvers, &solver, err, err_size) != 0
      || get_enum (root, "final_sigmas_type", 0, finals, &unused, err, err_size) != 0
      || get_shift (root, "flow_shift", &c->flow_shift, err, err_size) != 0)
    return -1;
  if (prediction < 0)
    {
      snprintf (err, err_size,
                "'prediction_type' is missing, expected 'flow_prediction' or 'sample'");
      return -1;
    }
  if (!flow)
    {
      snprintf (err, err_size,
                "'use_flow_sigmas' is false: only flow-matching checkpoints are supported");
      return -1;
    }
  c->prediction = (SoraKitPrediction)prediction;
  c->solver_order = (int)order;
  c->dpm_heun = solver == 1;
  return 0;
}

/* Python writes "-Infinity", the default of DPM-Solver's lambda_min_clipped, which is no JSON: null
 * of the same length takes its place.  Returns: a copy, or %NULL without memory. */
static char *
without_infinity (const char *json, size_t size)
{
  static const char word[] = "-Infinity";
  const size_t length = sizeof word - 1;
  char *text = malloc (size + 1);
  int quoted = 0;
  if (text == NULL)
    return NULL;
  memcpy (text, json, size);
  for (size_t i = 0; i < size; i++)
    if (quoted && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && size - i >= length && memcmp (text + i, word, length) == 0)
      memcpy (text + i, "null     ", length);
  return text;
}

int
sora_kit_sampler_config_parse (const void *json, size_t size, SoraKitSamplerConfig *config,
                               char *err, size_t err_size)
{
  static const char *const classes[]
      = { "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler",
          "DPMSolverMultistepScheduler", NULL };
  json_error_t problem;
  char *text = without_infinity (json, size);
  if (text == NULL)
    {
      snprintf (err, err_size, "out of memory for %zu bytes", size);
      return -1;
    }
  json_t *root = json_loadb (text, size, JSON_REJECT_DUPLICATES, &problem);
  free (text);
  if (root == NULL)
    {
      snprintf (err, err_size, "line %d: %s", problem.line, problem.text);
      return -1;
    }

  SoraKitSamplerConfig c
      = { .solver_order = 2, .solver_bh = 2, .lower_order_final = 1, .final_sigma_zero = 1 };
  int klass = -1, result = -1;
  if (!json_is_object (root))
    snprintf (err, err_size, "no JSON object");
  else if (json_object_get (root, "_class_name") == NULL)
    snprintf (err, err_size, "'_class_name' is missing");
  else if (get_enum (root, "_class_name", -1, classes, &klass, err, err_size) == 0
           && check_options (root, err, err_size) == 0
           && get_int (root, "num_train_timesteps", 1000, 2, 1000000, &c.num_train_timesteps, err,
                       err_size)
                  == 0)
    {
      static int (*const readers[]) (json_t *, SoraKitSamplerConfig *, char *, size_t)
          = { read_unipc, read_euler, read_dpm };
      c.kind = (SoraKitSamplerKind)(klass + 1); /* the kinds stand in the order of the classes */
      result = readers[klass](root, &c, err, err_size);
    }
  json_decref (root);
  if (result == 0)
    *config = c;
  return result;
}
