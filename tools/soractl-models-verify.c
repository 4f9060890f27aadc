/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl models show and verify: what a model is, and whether it still is what it was.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl-models.h"
#include "sora-error.h"
#include <string.h>

static SoraModel *
find (SoractlModels *models, const char *name, GError **error)
{
  /* A folder's path needs no slash here: "soractl models show ." */
  if (g_file_test (name, G_FILE_TEST_IS_DIR) && strspn (name, ".") == strlen (name))
    return sora_model_open (name, error);
  return sora_model_find ((const char *const *)models->environment->model_dirs, name, error);
}

int
soractl_models_show (SoractlModels *models, char **names)
{
  g_autoptr (GError) error = NULL;
  if (names[0] == NULL || names[1] != NULL)
    return soractl_usage_error ("models", "show: name one model");
  g_autoptr (SoraModel) model = find (models, names[0], &error);
  if (model == NULL)
    return soractl_report (error);
  g_autofree char *digest = soractl_models_digest (models->global, model, FALSE, &error);
  if (digest == NULL)
    return soractl_report (error);
  g_autoptr (GPtrArray) verdicts = soractl_models_judge (models->environment, model);
  soractl_models_print (models->global, model, sora_model_id (model), sora_model_path (model),
                        digest, verdicts);
  return SORACTL_OK;
}

/* The digest that was recorded for this very model, and not for another of its name. */
static char *
recorded (SoraModel *model)
{
  g_autofree char *path = soractl_models_path (sora_model_id (model));
  return g_str_equal (path, sora_model_path (model))
             ? soractl_models_recorded (sora_model_id (model))
             : NULL;
}

static gboolean
verify (SoractlModels *models, const char *name, json_t *results, GError **error)
{
  g_autoptr (SoraModel) model = find (models, name, error);
  g_autofree char *digest
      = model != NULL ? soractl_models_digest (models->global, model, TRUE, error) : NULL;
  if (digest == NULL)
    return FALSE;
  g_autofree char *before = recorded (model);
  if (before != NULL && !g_str_equal (before, digest))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL,
                   "model '%s' is not what it was when it was added: its digest is %s, was %s; "
                   "restore its files, or remove and add it again",
                   sora_model_id (model), digest, before);
      return FALSE;
    }
  g_autoptr (GPtrArray) verdicts = soractl_models_judge (models->environment, model);
  if (!soractl_models_is_usable (model, verdicts, error))
    return FALSE;
  json_array_append_new (results, json_pack ("{s:s, s:s, s:b}", "id", sora_model_id (model),
                                             "digest", digest, "compared", before != NULL));
  if (!models->global->json)
    printf ("%s: whole, %s%s\n", sora_model_id (model), digest,
            before != NULL ? ", as when it was added" : " (no earlier digest to compare with)");
  return TRUE;
}

int
soractl_models_verify (SoractlModels *models, char **names)
{
  if (names[0] == NULL)
    return soractl_usage_error ("models", "verify: name a model");
  json_t *results = json_array ();
  int code = SORACTL_OK;
  for (; *names != NULL; names++)
    {
      g_autoptr (GError) error = NULL;
      if (!verify (models, *names, results, &error))
        code = soractl_report (error);
    }
  if (models->global->json)
    soractl_json_print (results);
  else
    json_decref (results);
  return code;
}
