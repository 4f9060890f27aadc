/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The cache of primitives of an instance that stays warm: it does not grow with the variety of
 * shapes, what was used last stays, and layers do not compute with what was ended.
 */
#include "kit-attention.h"
#include "kit-linear.h"
#include "kit-test.h"

enum
{
  KEEP = 24,
  WIDTH = 32,
  MOST = 100
};

/* One run as a stage makes it: a layer over m rows, then attention among them. */
static void
run_once (SoraKitCache *cache, SoraKitLinear *layer, SoraKitTeam *team, int64_t m, const float *x,
          float *y)
{
  float *qkv = sora_kit_alloc ((uint64_t)m, 3 * WIDTH * sizeof *qkv);
  kit_test_ok (team, sora_kit_linear_run (layer, team, m, x, 0, qkv, 0));
  SoraKitKeys *keys = sora_kit_keys_new (cache, 2, WIDTH / 2, m, team);
  ck_assert_msg (keys != NULL, "%s", team->error);
  const SoraKitAttention a = { .queries = m, .q = qkv, .ldq = 3 * WIDTH, .out = y, .scale = 0.25f };
  kit_test_ok (team,
               sora_kit_keys_pack (keys, team, qkv + WIDTH, 3 * WIDTH, qkv + 2 * WIDTH, 3 * WIDTH));
  kit_test_ok (team, sora_kit_attention (keys, team, &a));
  sora_kit_keys_free (keys);
  sora_kit_free (qkv);
}

static SoraKitLinear *
layer_new (SoraKitCache *cache, SoraKitTeam *team, const float *w)
{
  const SoraKitLinearPart part = { w, SORA_F32, SORA_F32, NULL, 3 * WIDTH };
  SoraKitLinear *layer
      = sora_kit_linear_new (cache, 3 * WIDTH, WIDTH, SORA_KIT_ACTIVATION_NONE, 0, team);
  ck_assert_msg (layer != NULL, "%s", team->error);
  kit_test_ok (team, sora_kit_linear_pack (layer, team, &part, 1));
  return layer;
}

START_TEST (test_bounded)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *x = kit_test_new (MOST * WIDTH, 1), *w = kit_test_new (3 * WIDTH * WIDTH, 2);
  float *y = kit_test_new (MOST * WIDTH, 3), *want = kit_test_new (MOST * WIDTH, 4);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitLinear *layer = layer_new (cache, &team, w);
  size_t largest = 0, of_one = 0;
  for (int64_t m = 1; m <= MOST; m++)
    {
      /* The same in a cache that was never trimmed. */
      SoraKitCache *fresh = sora_kit_cache_new ();
      SoraKitLinear *other = layer_new (fresh, &team, w);
      run_once (fresh, other, &team, m, x, want);
      of_one = sora_kit_cache_count (fresh) > of_one ? sora_kit_cache_count (fresh) : of_one;
      sora_kit_linear_free (other);
      sora_kit_cache_free (fresh);

      sora_kit_cache_trim (cache, KEEP);
      run_once (cache, layer, &team, m, x, y);
      largest = sora_kit_cache_count (cache) > largest ? sora_kit_cache_count (cache) : largest;
      ck_assert_msg (memcmp (y, want, (size_t)m * WIDTH * sizeof *y) == 0,
                     "%lld rows: other bytes after a trim", (long long)m);
    }
  ck_assert_msg (largest <= KEEP + of_one, "%zu primitives, one run has %zu", largest, of_one);
  ck_assert_uint_gt (sora_kit_cache_generation (cache), 5);
  sora_kit_linear_free (layer);
  sora_kit_cache_free (cache);
  sora_kit_free (x);
  sora_kit_free (w);
  sora_kit_free (y);
  sora_kit_free (want);
}
END_TEST

/* A layer that runs with the same rows as before the trim asks for its products again. */
START_TEST (test_layer_asks_anew)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 1);
  float *x = kit_test_new (7 * WIDTH, 1), *w = kit_test_new (3 * WIDTH * WIDTH, 2);
  float *first = kit_test_new (7 * 3 * WIDTH, 3), *second = kit_test_new (7 * 3 * WIDTH, 4);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitLinear *layer = layer_new (cache, &team, w);
  kit_test_ok (&team, sora_kit_linear_run (layer, &team, 7, x, 0, first, 0));
  sora_kit_cache_trim (cache, 0); /* all were used since the beginning: they stay */
  ck_assert_uint_gt (sora_kit_cache_count (cache), 0);
  ck_assert_uint_eq (sora_kit_cache_generation (cache), 0);
  sora_kit_cache_trim (cache, 0); /* none was asked for */
  ck_assert_uint_eq (sora_kit_cache_count (cache), 0);
  ck_assert_uint_eq (sora_kit_cache_generation (cache), 1);
  kit_test_ok (&team, sora_kit_linear_run (layer, &team, 7, x, 0, second, 0));
  ck_assert_uint_gt (sora_kit_cache_count (cache), 0);
  ck_assert_mem_eq (first, second, 7 * 3 * WIDTH * sizeof *first);
  sora_kit_linear_free (layer);
  sora_kit_cache_free (cache);
  sora_kit_free (x);
  sora_kit_free (w);
  sora_kit_free (first);
  sora_kit_free (second);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache");
  TCase *tests = tcase_create ("cache");
  tcase_set_timeout (tests, 120);
  tcase_add_test (tests, test_bounded);
  tcase_add_test (tests, test_layer_asks_anew);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
