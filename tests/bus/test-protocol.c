/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The byte protocol: what the parser takes, and what it refuses.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/sora-protocol.h"

#define assert_protocol_error(error, part)                                                         \
  do                                                                                               \
    {                                                                                              \
      ck_assert_ptr_nonnull (error);                                                               \
      ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_PROTOCOL), "%s",               \
                     (error)->message);                                                            \
      ck_assert_msg (strstr ((error)->message, part) != NULL, "'%s' lacks '%s'", (error)->message, \
                     part);                                                                        \
    }                                                                                              \
  while (0)

static GBytes *
progress_frame (double fraction)
{
  g_autoptr (GError) error = NULL;
  GBytes *frame = sora_message_encode (
      SORA_MESSAGE_PROGRESS, 7, g_variant_new ("(dusuud)", fraction, 0u, "denoise", 3u, 20u, 12.5),
      &error);
  ck_assert_ptr_nonnull (frame);
  return frame;
}

static void
feed_header (SoraParser *parser, guint32 length, guint16 type, guint16 flags, guint64 job)
{
  guint8 header[16];
  length = GUINT32_TO_LE (length);
  type = GUINT16_TO_LE (type);
  flags = GUINT16_TO_LE (flags);
  job = GUINT64_TO_LE (job);
  memcpy (header, &length, 4);
  memcpy (header + 4, &type, 2);
  memcpy (header + 6, &flags, 2);
  memcpy (header + 8, &job, 8);
  sora_parser_feed (parser, header, sizeof header);
}

START_TEST (layout_is_as_documented)
{
  g_autoptr (GBytes) frame = sora_message_encode (SORA_MESSAGE_HEARTBEAT, 0x1122334455667788,
                                                  g_variant_new ("(t)", (guint64)5), NULL);
  const guint8 expected[] = { 8,    0,    0,    0,    2, 0, 0, 0, 0x88, 0x77, 0x66, 0x55,
                              0x44, 0x33, 0x22, 0x11, 5, 0, 0, 0, 0,    0,    0,    0 };
  ck_assert_uint_eq (g_bytes_get_size (frame), sizeof expected);
  ck_assert_mem_eq (g_bytes_get_data (frame, NULL), expected, sizeof expected);
}
END_TEST

START_TEST (frames_come_whole_however_cut)
{
  g_autoptr (GBytes) one = progress_frame (0.25);
  g_autoptr (GBytes) two = progress_frame (0.5);
  gsize size = g_bytes_get_size (one);
  g_autofree guint8 *stream = g_malloc (2 * size);
  memcpy (stream, g_bytes_get_data (one, NULL), size);
  memcpy (stream + size, g_bytes_get_data (two, NULL), size);
  for (gsize step = 1; step <= 2 * size; step++)
    {
      g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
      guint seen = 0;
      for (gsize at = 0; at < 2 * size; at += step)
        {
          sora_parser_feed (parser, stream + at, MIN (step, 2 * size - at));
          for (;;)
            {
              g_autoptr (SoraMessage) message = NULL;
              ck_assert (sora_parser_next (parser, &message, NULL));
              if (!message)
                break;
              double fraction;
              g_variant_get_child (message->payload, 0, "d", &fraction);
              ck_assert_double_eq (fraction, seen == 0 ? 0.25 : 0.5);
              ck_assert_uint_eq (message->job, 7);
              seen++;
            }
        }
      ck_assert_uint_eq (seen, 2);
      ck_assert (sora_parser_is_idle (parser));
    }
}
END_TEST

START_TEST (short_frame_is_no_message)
{
  g_autoptr (GBytes) frame = progress_frame (0.25);
  for (gsize size = 1; size < g_bytes_get_size (frame); size++)
    {
      g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
      g_autoptr (SoraMessage) message = NULL;
      sora_parser_feed (parser, g_bytes_get_data (frame, NULL), size);
      ck_assert (sora_parser_next (parser, &message, NULL));
      ck_assert_ptr_null (message);
      ck_assert (!sora_parser_is_idle (parser));
    }
}
END_TEST

static void
refuse_header (guint32 length, guint16 type, guint16 flags, SoraSide side, const char *part)
{
  g_autoptr (SoraParser) parser = sora_parser_new (side);
  g_autoptr (SoraMessage) message = NULL;
  g_autoptr (GError) error = NULL;
  feed_header (parser, length, type, flags, 1);
  ck_assert (!sora_parser_next (parser, &message, &error));
  assert_protocol_error (error, part);
}

START_TEST (oversize_is_refused_at_the_header)
{
  refuse_header (SORA_FRAME_MAX_PAYLOAD + 1, SORA_MESSAGE_RUN, 0, SORA_SIDE_WORKER,
                 "at most 16777216");
  refuse_header (0xffffffff, 999, SORA_FRAME_OPTIONAL, SORA_SIDE_WORKER, "4294967295");
  refuse_header (65, SORA_MESSAGE_HEARTBEAT, 0, SORA_SIDE_DAEMON, "HEARTBEAT claims 65 bytes");
}
END_TEST

START_TEST (unknown_mandatory_is_refused)
{
  refuse_header (4, 999, 0, SORA_SIDE_DAEMON, "type 999 is not known");
  refuse_header (4, 0, 0, SORA_SIDE_DAEMON, "type 0 is not known");
}
END_TEST

START_TEST (unknown_optional_is_skipped)
{
  g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
  g_autoptr (SoraMessage) message = NULL;
  g_autoptr (GBytes) frame = progress_frame (0.25);
  g_autofree guint8 *junk = g_malloc0 (100000);
  feed_header (parser, 100000, 999, SORA_FRAME_OPTIONAL, 1);
  for (guint i = 0; i < 10; i++)
    {
      ck_assert (sora_parser_next (parser, &message, NULL));
      ck_assert_ptr_null (message);
      ck_assert (!sora_parser_is_idle (parser));
      sora_parser_feed (parser, junk, 10000);
    }
  sora_parser_feed (parser, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
  ck_assert (sora_parser_next (parser, &message, NULL));
  ck_assert_ptr_nonnull (message);
  ck_assert_uint_eq (message->type, SORA_MESSAGE_PROGRESS);
}
END_TEST

START_TEST (wrong_way_is_refused)
{
  refuse_header (24, SORA_MESSAGE_RUN, 0, SORA_SIDE_DAEMON, "RUN cannot come from a worker");
  refuse_header (24, SORA_MESSAGE_PROGRESS, 0, SORA_SIDE_WORKER,
                 "PROGRESS cannot come from a daemon");
}
END_TEST

START_TEST (payload_not_normal_is_refused)
{
  /* (us a{sv}) whose framing offset points past the end. */
  const guint8 payload[] = { 1, 0, 0, 0, 'x', 0, 0, 0, 200 };
  g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
  g_autoptr (SoraMessage) message = NULL;
  g_autoptr (GError) error = NULL;
  feed_header (parser, sizeof payload, SORA_MESSAGE_HELLO, 0, 0);
  sora_parser_feed (parser, payload, sizeof payload);
  ck_assert (!sora_parser_next (parser, &message, &error));
  assert_protocol_error (error, "not a normal (usa{sv})");
}
END_TEST

START_TEST (payload_of_wrong_size_is_refused)
{
  const guint8 payload[] = { 1, 2, 3 };
  g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
  g_autoptr (SoraMessage) message = NULL;
  g_autoptr (GError) error = NULL;
  feed_header (parser, sizeof payload, SORA_MESSAGE_HEARTBEAT, 0, 0);
  sora_parser_feed (parser, payload, sizeof payload);
  ck_assert (!sora_parser_next (parser, &message, &error));
  assert_protocol_error (error, "HEARTBEAT");
}
END_TEST

START_TEST (encode_refuses_what_is_too_large)
{
  g_autofree char *text = g_strnfill (70 * 1024, 'x');
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (
      sora_message_encode (SORA_MESSAGE_LOG, 1, g_variant_new ("(iss)", 2, "stage", text), &error));
  assert_protocol_error (error, "LOG");
}
END_TEST

/* A fixed number of damaged streams: whatever comes, no crash, and what is taken is in normal form.
 */
START_TEST (damaged_streams_do_no_harm)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20251122);
  g_autoptr (GBytes) frame = progress_frame (0.5);
  gsize size = g_bytes_get_size (frame);
  for (guint i = 0; i < 20000; i++)
    {
      g_autofree guint8 *damaged = g_memdup2 (g_bytes_get_data (frame, NULL), size);
      for (guint n = g_rand_int_range (rand, 1, 6); n > 0; n--)
        damaged[g_rand_int_range (rand, 0, (gint32)size)]
            ^= (guint8)(1 << g_rand_int_range (rand, 0, 8));
      g_autoptr (SoraParser) parser = sora_parser_new (SORA_SIDE_DAEMON);
      g_autoptr (SoraMessage) message = NULL;
      sora_parser_feed (parser, damaged, size);
      if (sora_parser_next (parser, &message, NULL) && message)
        ck_assert (g_variant_is_normal_form (message->payload));
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("protocol");
  TCase *parser = tcase_create ("parser");
  tcase_add_test (parser, layout_is_as_documented);
  tcase_add_test (parser, frames_come_whole_however_cut);
  tcase_add_test (parser, short_frame_is_no_message);
  tcase_add_test (parser, oversize_is_refused_at_the_header);
  tcase_add_test (parser, unknown_mandatory_is_refused);
  tcase_add_test (parser, unknown_optional_is_skipped);
  tcase_add_test (parser, wrong_way_is_refused);
  tcase_add_test (parser, payload_not_normal_is_refused);
  tcase_add_test (parser, payload_of_wrong_size_is_refused);
  tcase_add_test (parser, encode_refuses_what_is_too_large);
  tcase_add_test (parser, damaged_streams_do_no_harm);
  suite_add_tcase (suite, parser);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
