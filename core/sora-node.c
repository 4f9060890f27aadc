/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A node: one stage of one run of a plan, with its plugin's class, ports, parameters and models.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include "sora-manifest.h"
#include "sora-peer.h"
#include <string.h>

static void
input_free (gpointer data)
{
  SoraNodeInput *input = data;
  g_clear_pointer (&input->tensor, sora_tensor_unref);
  g_clear_pointer (&input->own_spec, sora_port_spec_free);
  g_free (input);
}

static void
output_free (gpointer data)
{
  SoraNodeOutput *output = data;
  g_clear_pointer (&output->spec, sora_port_spec_free);
  g_clear_pointer (&output->attrs, g_hash_table_unref);
  g_ptr_array_unref (output->edges);
  g_free (output);
}

SoraNode *
sora_node_new (guint run, const char *id)
{
  SoraNode *node = g_new0 (SoraNode, 1);
  node->run = run;
  node->id = g_strdup (id);
  node->params
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  node->params_set = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  node->inputs = g_ptr_array_new_with_free_func (input_free);
  node->outputs = g_ptr_array_new_with_free_func (output_free);
  return node;
}

void
sora_node_free (SoraNode *node)
{
  for (guint i = 0; i < node->n_slots; i++)
    g_clear_pointer (&node->models[i], sora_model_unref);
  g_free (node->models);
  sora_peer_free (node->peer);
  g_ptr_array_unref (node->inputs);
  g_ptr_array_unref (node->outputs);
  g_hash_table_unref (node->params);
  g_hash_table_unref (node->params_set);
  g_free (node->id);
  g_free (node);
}

void
sora_node_prefix_error (SoraNode *node, GError **error)
{
  g_prefix_error (error, "stage '%s': ", node->id);
}

gboolean
sora_plugin_probe (const SoraPlugin *plugin, GError **error)
{
  char why[512] = "";

  if (plugin->probe == NULL)
    return TRUE;
  SoraFpu fpu = sora_fpu_get ();
  int result = plugin->probe (sora_host_table (), why, sizeof why);
  sora_fpu_set (fpu);
  why[sizeof why - 1] = '\0';
  if (result == SORA_OK)
    return TRUE;
  g_autofree char *valid = g_utf8_make_valid (why, -1);
  sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
               "plugin '%s' cannot run on this machine: %s", plugin->id,
               valid[0] != '\0' ? valid : "it gives no reason");
  return FALSE;
}

gboolean
sora_node_load (SoraNode *node, SoraRegistry *registry, const char *name, GError **error)
{
  g_autofree char *plugin_id = g_strndup (name, strcspn (name, "/"));

  /* A module that was linked with -ffast-math sets the control bits of the thread that loads it. */
  SoraFpu fpu = sora_fpu_get ();
  node->klass = sora_registry_stage (registry, name, &node->plugin, error);
  if (!sora_fpu_equal (fpu, sora_fpu_get ()))
    {
      sora_fpu_set (fpu);
      g_message (
          "loading plugin '%s' changed the floating-point control bits, which were put back: do "
          "not link it with -ffast-math",
          plugin_id);
    }
  if (node->klass == NULL || !sora_plugin_probe (node->plugin, error))
    {
      sora_node_prefix_error (node, error);
      return FALSE;
    }
  node->info = sora_registry_find (registry, plugin_id);
  node->remote = node->info->remote;
  for (guint i = 0; node->klass->inputs != NULL && node->klass->inputs[i] != NULL; i++)
    {
      SoraNodeInput *input = g_new0 (SoraNodeInput, 1);
      input->port = node->klass->inputs[i];
      g_ptr_array_add (node->inputs, input);
    }
  for (guint i = 0; node->klass->outputs != NULL && node->klass->outputs[i] != NULL; i++)
    {
      SoraNodeOutput *output = g_new0 (SoraNodeOutput, 1);
      output->port = node->klass->outputs[i];
      output->edges = g_ptr_array_new ();
      output->attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                             (GDestroyNotify)g_variant_unref);
      g_ptr_array_add (node->outputs, output);
    }
  while (node->klass->models != NULL && node->klass->models[node->n_slots] != NULL)
    node->n_slots++;
  node->models = g_new0 (SoraModel *, MAX (node->n_slots, 1));
  return TRUE;
}

const SoraPortSpec *
sora_node_input_spec (SoraNode *node, guint index)
{
  SoraNodeInput *input = g_ptr_array_index (node->inputs, index);

  if (input->own_spec != NULL)
    return input->own_spec;
  if (input->edge == NULL)
    return NULL;
  SoraNodeOutput *output = g_ptr_array_index (input->edge->from->outputs, input->edge->from_port);
  return output->spec;
}

int
sora_node_find_input (SoraNode *node, const char *port)
{
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      if (g_strcmp0 (input->port->name, port) == 0)
        return (int)i;
    }
  return -1;
}

int
sora_node_find_output (SoraNode *node, const char *port)
{
  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      if (g_strcmp0 (output->port->name, port) == 0)
        return (int)i;
    }
  return -1;
}

const SoraParam *
sora_node_find_param (SoraNode *node, const char *name)
{
  for (guint i = 0; node->klass->params != NULL && node->klass->params[i] != NULL; i++)
    if (g_strcmp0 (node->klass->params[i]->name, name) == 0)
      return node->klass->params[i];
  return NULL;
}

int
sora_node_find_slot (SoraNode *node, const char *name)
{
  for (guint i = 0; i < node->n_slots; i++)
    if (name[0] == '\0' || g_strcmp0 (node->klass->models[i]->name, name) == 0)
      return (int)i;
  return -1;
}
