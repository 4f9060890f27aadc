/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The checks of a stage class: its functions, and its tables of ports, parameters and model slots.
 */
#include "config.h"
#include <string.h>
#include "sora-plugin-check.h"

/* "sora.latents.video/1" */
static gboolean
semantic_is_valid (const char *text)
{
  const char *slash = strrchr (text, '/');
  if (slash == NULL || slash == text || strlen (text) > 128 || slash[1] == '\0'
      || strspn (slash + 1, "0123456789") != strlen (slash + 1))
    return FALSE;
  for (const char *p = text; p < slash; p++)
    if (!g_ascii_isalnum (*p) && strchr (".-_", *p) == NULL)
      return FALSE;
  return TRUE;
}

/* "C,T,H,W" or "T,H,W,3": symbols or positive numbers; "" is a scalar. */
static gboolean
dims_are_valid (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  for (char **part = parts; *part != NULL; part++)
    {
      gsize length = strlen (*part);
      gboolean number
          = length > 0 && length < 10 && **part != '0' && strspn (*part, "0123456789") == length;
      gboolean symbol = g_ascii_isalpha (**part) && sora_name_is_valid (*part);
      if (!number && !symbol)
        return FALSE;
    }
  return TRUE;
}

static gboolean
check_port_kind (const SoraCheck *check, const SoraPort *port, const char *what, GError **error)
{
  const guint known
      = ((SORA_DTYPE_BIT (SORA_BOOL) << 1) - 1) & ~SORA_DTYPE_BIT (SORA_DTYPE_INVALID);
  if (!semantic_is_valid (port->semantic))
    return sora_check_refuse (
        check, error, "%s: '%.140s' is no semantic id, expected one like 'sora.latents.video/1'",
        what, port->semantic);
  if (strcmp (port->semantic, SORA_SEMANTIC_FILE) == 0)
    return (port->dtypes == 0 && port->dims == NULL && (port->flags & SORA_PORT_STREAM) == 0)
           || sora_check_refuse (
               check, error, "%s: a port of " SORA_SEMANTIC_FILE " has no dtypes, dims or stream",
               what);
  if (port->dtypes == 0)
    return sora_check_refuse (check, error, "%s takes no dtype: set dtypes to SORA_DTYPE_BIT()s",
                              what);
  if ((port->dtypes & ~known) != 0 && !check->newer)
    return sora_check_refuse (check, error, "%s has unknown dtypes 0x%x", what,
                              port->dtypes & ~known);
  if (port->dims == NULL || !dims_are_valid (port->dims))
    return sora_check_refuse (check, error, "%s: dims '%.80s' is not like 'C,T,H,W'", what,
                              port->dims != NULL ? port->dims : "(NULL)");
  if ((port->flags & SORA_PORT_STREAM) && *port->dims == '\0')
    return sora_check_refuse (
        check, error, "%s is a stream of scalars, which has no axis to be split along", what);
  return TRUE;
}

static gboolean
check_port (const SoraCheck *check, const SoraPort *port, const char *stage, gboolean input,
            gsize index, GError **error)
{
  const char *side = input ? "input" : "output";
  const guint allowed = SORA_PORT_STREAM | (input ? SORA_PORT_OPTIONAL : SORA_PORT_CACHEABLE);
  g_autofree char *place = g_strdup_printf ("stage '%s', %s %" G_GSIZE_FORMAT, stage, side, index);
  if (port->struct_size < SORA_SIZE_1_0 (SoraPort, help))
    return sora_check_refuse (
        check, error, "%s: struct_size is %u, shorter than the %" G_GSIZE_FORMAT " of ABI 1.0",
        place, port->struct_size, SORA_SIZE_1_0 (SoraPort, help));
  g_autofree char *name_is = g_strdup_printf ("%s: its name", place);
  if (!sora_check_text (check, port->name, name_is, error))
    return FALSE;
  g_autofree char *what = g_strdup_printf ("stage '%s', %s '%.80s'", stage, side, port->name);
  g_autofree char *semantic = g_strdup_printf ("%s: its semantic id", what);
  g_autofree char *help = g_strdup_printf ("%s: its help", what);
  if (!sora_name_is_valid (port->name))
    return sora_check_refuse (check, error, "%s: not a name, expected letters, digits, '-' and '_'",
                              what);
  if (!sora_check_text (check, port->semantic, semantic, error)
      || !sora_check_text (check, port->help, help, error))
    return FALSE;
  if ((port->flags & ~allowed) != 0 && !check->newer)
    return sora_check_refuse (check, error, "%s has flags 0x%x, which an %s cannot have", what,
                              port->flags & ~allowed, side);
  return check_port_kind (check, port, what, error);
}

static gboolean
check_ports (const SoraCheck *check, const SoraPort *const *ports, const char *stage,
             gboolean input, GError **error)
{
  for (gsize i = 0; ports != NULL && ports[i] != NULL; i++)
    {
      if (i == SORA_CHECK_MAX_PORTS)
        return sora_check_refuse (
            check, error, "stage '%s' has more than %u %s, or the table does not end with NULL",
            stage, SORA_CHECK_MAX_PORTS, input ? "inputs" : "outputs");
      if (!check_port (check, ports[i], stage, input, i, error))
        return FALSE;
      for (gsize j = 0; j < i; j++)
        if (strcmp (ports[i]->name, ports[j]->name) == 0)
          return sora_check_refuse (check, error, "stage '%s' has two %s named '%s'", stage,
                                    input ? "inputs" : "outputs", ports[i]->name);
    }
  return TRUE;
}

static gboolean
check_params (const SoraCheck *check, const SoraStageClass *stage, GError **error)
{
  for (gsize i = 0; stage->params != NULL && stage->params[i] != NULL; i++)
    {
      if (i == SORA_CHECK_MAX_PARAMS)
        return sora_check_refuse (
            check, error,
            "stage '%s' has more than %u parameters, or the table does not end with NULL",
            stage->id, SORA_CHECK_MAX_PARAMS);
      if (!sora_check_param (check, stage->params[i], stage->id, i, error))
        return FALSE;
      for (gsize j = 0; j < i; j++)
        if (strcmp (stage->params[i]->name, stage->params[j]->name) == 0)
          return sora_check_refuse (check, error, "stage '%s' has two parameters named '%s'",
                                    stage->id, stage->params[i]->name);
    }
  return TRUE;
}

static gboolean
check_slot (const SoraCheck *check, const SoraModelSlot *slot, const char *stage, gsize index,
            GError **error)
{
  g_autofree char *place
      = g_strdup_printf ("stage '%s', model slot %" G_GSIZE_FORMAT, stage, index);
  g_autofree char *name_is = g_strdup_printf ("%s: its name", place);
  g_autofree char *list_is = g_strdup_printf ("%s: its list of components", place);
  if (slot->struct_size < SORA_SIZE_1_0 (SoraModelSlot, components))
    return sora_check_refuse (
        check, error, "%s: struct_size is %u, shorter than the %" G_GSIZE_FORMAT " of ABI 1.0",
        place, slot->struct_size, SORA_SIZE_1_0 (SoraModelSlot, components));
  if (!sora_check_text (check, slot->name, name_is, error)
      || !sora_check_text (check, slot->components, list_is, error))
    return FALSE;
  if (!sora_name_is_valid (slot->name))
    return sora_check_refuse (check, error,
                              "%s: '%.80s' is not a name, expected letters, digits, '-' and '_'",
                              place, slot->name);
  if ((slot->flags & ~(guint)SORA_PORT_OPTIONAL) != 0 && !check->newer)
    return sora_check_refuse (check, error, "%s has unknown flags 0x%x", place, slot->flags);
  g_auto (GStrv) parts = g_strsplit (slot->components, ",", -1);
  for (char **part = parts; *part != NULL; part++)
    if (!sora_name_is_valid (*part))
      return sora_check_refuse (check, error,
                                "%s: components '%.80s' is not like 'text_encoder,tokenizer'",
                                place, slot->components);
  return TRUE;
}

static gboolean
check_slots (const SoraCheck *check, const SoraStageClass *stage, GError **error)
{
  for (gsize i = 0; stage->models != NULL && stage->models[i] != NULL; i++)
    {
      if (i == SORA_CHECK_MAX_PORTS)
        return sora_check_refuse (
            check, error,
            "stage '%s' has more than %u model slots, or the table does not end with NULL",
            stage->id, SORA_CHECK_MAX_PORTS);
      if (!check_slot (check, stage->models[i], stage->id, i, error))
        return FALSE;
      for (gsize j = 0; j < i; j++)
        if (strcmp (stage->models[i]->name, stage->models[j]->name) == 0)
          return sora_check_refuse (check, error, "stage '%s' has two model slots named '%s'",
                                    stage->id, stage->models[i]->name);
    }
  return TRUE;
}

static gboolean
check_functions (const SoraCheck *check, const SoraStageClass *stage, GError **error)
{
  if (stage->infer == NULL)
    return sora_check_refuse (check, error, "stage '%s' has no infer function", stage->id);
  if (stage->run == NULL)
    return sora_check_refuse (check, error, "stage '%s' has no run function", stage->id);
  if (stage->create != NULL && stage->destroy == NULL)
    return sora_check_refuse (check, error, "stage '%s' has create, but no destroy", stage->id);
  if (stage->flags != 0 && !check->newer)
    return sora_check_refuse (check, error, "stage '%s' has unknown flags 0x%x", stage->id,
                              stage->flags);
  return TRUE;
}

gboolean
sora_check_stage (const SoraCheck *check, const SoraStageClass *stage, gsize index, GError **error)
{
  g_autofree char *place = g_strdup_printf ("stage %" G_GSIZE_FORMAT, index);
  g_autofree char *id_is = g_strdup_printf ("%s: its id", place);
  if (stage->struct_size < SORA_SIZE_1_0 (SoraStageClass, destroy))
    return sora_check_refuse (
        check, error, "%s: struct_size is %u, shorter than the %" G_GSIZE_FORMAT " of ABI 1.0",
        place, stage->struct_size, SORA_SIZE_1_0 (SoraStageClass, destroy));
  if (!sora_check_text (check, stage->id, id_is, error))
    return FALSE;
  if (!sora_name_is_valid (stage->id))
    return sora_check_refuse (
        check, error, "%s: its id '%.80s' is not a name, expected letters, digits, '-' and '_'",
        place, stage->id);
  g_autofree char *kind = g_strdup_printf ("stage '%s': its kind", stage->id);
  g_autofree char *summary = g_strdup_printf ("stage '%s': its summary", stage->id);
  if (!sora_check_text (check, stage->kind, kind, error)
      || !sora_check_text (check, stage->summary, summary, error)
      || !check_functions (check, stage, error))
    return FALSE;
  if ((stage->inputs == NULL || stage->inputs[0] == NULL)
      && (stage->outputs == NULL || stage->outputs[0] == NULL))
    return sora_check_refuse (check, error, "stage '%s' has neither inputs nor outputs", stage->id);
  return check_ports (check, stage->inputs, stage->id, TRUE, error)
         && check_ports (check, stage->outputs, stage->id, FALSE, error)
         && check_params (check, stage, error) && check_slots (check, stage, error);
}
