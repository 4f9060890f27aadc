/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-sampler-config.c: reads scheduler_config.json.  The rule is that nothing which changes the
 * numbers is passed over in silence: every option of the three classes stands in one table, with
 * what is done about it.
 */
#include "kit-sampler.h"

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
  { "denoising_step_list", OPTION_READ },
  { "sample_shift", OPTION_READ },
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

static void
check_option (SoraKitConfig *file, const char *key, int is_no, void *data)
{
  (void)data;
  size_t i = 0;
  while (i < sizeof options / sizeof options[0] && strcmp (options[i].name, key) != 0)
    i++;
  const int known = i < sizeof options / sizeof options[0];
  if ((!known || options[i].use == OPTION_MUST_BE_NO) && !is_no)
    sora_kit_config_fail (file, "option '%.64s' is %s: remove it or set it to null", key,
                          known ? "not implemented" : "unknown");
}

/* Above 0: the least good value is far below what anybody means. */
static double
read_shift (SoraKitConfig *file, const char *key)
{
  return sora_kit_config_f64_or (file, key, 1e-6, 1000, 1);
}

static const char *const predictions[] = { "flow_prediction", "sample", NULL };

static int
read_prediction (SoraKitConfig *file)
{
  const int prediction = sora_kit_config_enum_or (file, "prediction_type", predictions, -1);
  if (prediction < 0)
    sora_kit_config_fail (file,
                          "'prediction_type' is missing, expected 'flow_prediction' or 'sample'");
  return prediction < 0 ? 0 : prediction;
}

static void
read_unipc (SoraKitConfig *file, SoraKitSamplerConfig *c)
{
  static const char *const solvers[] = { "bh1", "bh2", NULL };
  static const char *const finals[] = { "sigma_min", "zero", NULL };
  const int flow = sora_kit_config_bool_or (file, "use_flow_sigmas", 0);
  const int predict_x0 = sora_kit_config_bool_or (file, "predict_x0", 1);
  const int prediction = read_prediction (file);
  c->lower_order_final = sora_kit_config_bool_or (file, "lower_order_final", 1);
  c->solver_order = (int)sora_kit_config_i64_or (file, "solver_order", 1, 3, 2);
  c->solver_bh = sora_kit_config_enum_or (file, "solver_type", solvers, 1) + 1;
  c->final_sigma_zero = sora_kit_config_enum_or (file, "final_sigmas_type", finals, 1);
  c->flow_shift = read_shift (file, "flow_shift");
  c->prediction = (SoraKitPrediction)prediction;
  if (!flow || !predict_x0)
    sora_kit_config_fail (
        file, "'%s' is false: only flow-matching checkpoints with data prediction are supported",
        flow ? "predict_x0" : "use_flow_sigmas");
  if (!c->lower_order_final && c->solver_order > (c->final_sigma_zero ? 1 : 2))
    sora_kit_config_fail (file,
                          "'lower_order_final' is false with 'solver_order' %d and "
                          "'final_sigmas_type' '%s': the last step has no finite result",
                          c->solver_order, finals[c->final_sigma_zero]);
}

static void
read_euler (SoraKitConfig *file, SoraKitSamplerConfig *c)
{
  /* The class has no such option; our checkpoints say with it what the model predicts. */
  c->prediction
      = (SoraKitPrediction)sora_kit_config_enum_or (file, "prediction_type", predictions, 0);
  c->flow_shift = read_shift (file, "shift");
}

static void
read_dpm (SoraKitConfig *file, SoraKitSamplerConfig *c)
{
  static const char *const algorithms[] = { "dpmsolver++", NULL };
  /* The class takes UniPC's names for the midpoint rule, so that it can be made of its file. */
  static const char *const solvers[] = { "midpoint", "heun", "bh1", "bh2", "logrho", NULL };
  static const char *const finals[] = { "zero", NULL };
  const int flow = sora_kit_config_bool_or (file, "use_flow_sigmas", 0);
  c->prediction = (SoraKitPrediction)read_prediction (file);
  c->lower_order_final = sora_kit_config_bool_or (file, "lower_order_final", 1);
  c->solver_order = (int)sora_kit_config_i64_or (file, "solver_order", 1, 3, 2);
  (void)sora_kit_config_enum_or (file, "algorithm_type", algorithms, 0);
  c->dpm_heun = sora_kit_config_enum_or (file, "solver_type", solvers, 0) == 1;
  (void)sora_kit_config_enum_or (file, "final_sigmas_type", finals, 0);
  c->flow_shift = read_shift (file, "flow_shift");
  if (!flow)
    sora_kit_config_fail (
        file, "'use_flow_sigmas' is false: only flow-matching checkpoints are supported");
}

/* lightx2v keeps these in a file of its own form, by these names; as a scheduler's file they are
 * ours. */
static void
read_distill (SoraKitConfig *file, SoraKitSamplerConfig *c)
{
  c->prediction
      = (SoraKitPrediction)sora_kit_config_enum_or (file, "prediction_type", predictions, 0);
  c->n_few = sora_kit_config_f64s (file, "denoising_step_list", c->few, 1, SORA_KIT_SAMPLER_MAX_FEW,
                                   1, (double)c->num_train_timesteps);
  c->flow_shift = c->few_shift = read_shift (file, "sample_shift");
}

void
sora_kit_sampler_config_read (SoraKitConfig *file, SoraKitSamplerConfig *config)
{
  static const char *const classes[]
      = { "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler",
          "DPMSolverMultistepScheduler", "WanStepDistillScheduler", NULL };
  static const SoraKitSamplerKind kinds[] = { SORA_KIT_SAMPLER_UNIPC, SORA_KIT_SAMPLER_EULER,
                                              SORA_KIT_SAMPLER_DPM, SORA_KIT_SAMPLER_DISTILL };
  static void (*const readers[]) (SoraKitConfig *, SoraKitSamplerConfig *)
      = { read_unipc, read_euler, read_dpm, read_distill };
  *config = (SoraKitSamplerConfig){ .num_train_timesteps = 1000,
                                    .flow_shift = 1,
                                    .solver_order = 2,
                                    .solver_bh = 2,
                                    .lower_order_final = 1,
                                    .final_sigma_zero = 1 };
  const int klass = sora_kit_config_enum_or (file, "_class_name", classes, -1);
  if (klass < 0)
    {
      /* The first reason stays, where it is of another class. */
      sora_kit_config_fail (file, "'_class_name' is missing");
      return;
    }
  config->kind = kinds[klass];
  sora_kit_config_each (file, check_option, NULL);
  config->num_train_timesteps
      = sora_kit_config_i64_or (file, "num_train_timesteps", 2, 1000000, 1000);
  readers[klass](file, config);
}
