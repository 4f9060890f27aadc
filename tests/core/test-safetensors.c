/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * safetensors: what is good is read and written, and every lie of a header has its own words.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sora-safetensors.h"
#include "sora-test-util.h"

static char *
write_file (const char *header, gsize data_size)
{
  g_autofree char *dir = sora_test_dir ();
  g_autoptr (GByteArray) file = sora_test_safetensors (header, data_size);
  return sora_test_write (dir, "file.safetensors", file->data, file->len);
}

START_TEST (good_files_are_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path
      = write_file ("{\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[16,22]},"
                    "\"__metadata__\":{\"format\":\"pt\"},"
                    "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
                    "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[22,30]}}   ",
                    30);
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  sora_assert_no_error (error);
  const char *const *names = sora_safetensors_names (file);
  ck_assert_str_eq (names[0], "a"); /* in the order of the data */
  ck_assert_str_eq (names[1], "none");
  ck_assert_str_eq (names[2], "b");
  ck_assert_str_eq (names[3], "scalar");
  ck_assert_ptr_null (names[4]);
  ck_assert_str_eq (sora_safetensors_metadata (file, "format"), "pt");
  ck_assert_ptr_null (sora_safetensors_metadata (file, "other"));

  SoraTensorView view;
  ck_assert (sora_safetensors_info (file, "b", &view, &error));
  ck_assert_ptr_null (view.data);
  ck_assert_int_eq (view.shape[1], 3);
  ck_assert_int_eq (view.strides[0], 3);
  ck_assert (sora_safetensors_get (file, "b", &view, &error));
  ck_assert_int_eq (((const uint8_t *)view.data)[0], 16);
  ck_assert_uint_eq (view.nbytes, 6);
  ck_assert (sora_safetensors_get (file, "none", &view, &error));
  ck_assert_uint_eq (view.nbytes, 0);
  ck_assert (sora_safetensors_info (file, "scalar", &view, &error));
  ck_assert_int_eq (view.ndim, 0);
  ck_assert_ptr_nonnull (view.shape);
  ck_assert_ptr_nonnull (view.strides);
  ck_assert (!sora_safetensors_get (file, "missing", &view, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "no tensor 'missing'");
  sora_safetensors_done (file, "b");
  sora_safetensors_done (file, "missing");
  ck_assert (sora_safetensors_get (file, "b", &view, &error)); /* and comes back from the file */
  ck_assert_int_eq (((const uint8_t *)view.data)[5], 21);

  g_autoptr (SoraTensor) copy = sora_safetensors_load (file, "b", &error);
  sora_tensor_get_view (copy, &view);
  ck_assert_int_eq (((const uint8_t *)view.data)[5], 21);
  ck_assert_ptr_null (sora_safetensors_load (file, "missing", &error));
}
END_TEST

/* This header is 74 bytes long, so its data begins at an odd multiple of 2: a float there cannot be
 * read in place. */
START_TEST (unaligned_tensors_are_aligned)
{
  g_autoptr (GError) error = NULL;
  SoraTensorView view, again;
  g_autofree char *path
      = write_file ("{\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                    "\"f\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[1,17]}}",
                    17);
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  ck_assert (sora_safetensors_get (file, "f", &view, &error));
  ck_assert_uint_eq ((uintptr_t)view.data % 8, 0);
  ck_assert_int_eq (((const uint8_t *)view.data)[15], 16);
  ck_assert (sora_safetensors_get (file, "f", &again, &error));
  ck_assert_ptr_eq (view.data, again.data);
}
END_TEST

static const struct
{
  const char *header;
  gsize data;
  const char *words;
} lies[] = {
  { "", 0, "does not begin with '{'" },
  { " {}", 0, "does not begin with '{'" },
  { "[]", 0, "does not begin with '{'" },
  { "{\"a\":", 0, "not valid JSON" },
  { "{} x", 0, "not valid JSON" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
    1, "duplicate object key" },
  { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    "duplicate object key" },
  { "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "empty name" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "exactly dtype, shape and data_offsets" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1,
    "exactly dtype, shape and data_offsets" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"offsets\":[0,1]}}", 1, "data_offsets is not" },
  { "{\"a\":7}", 0, "exactly dtype, shape and data_offsets" },
  { "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    "dtype 'F8_E4M3', which is not supported" },
  { "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype 'f32'" },
  { "{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "has no dtype" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "has no shape" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "axis 0 of its shape" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1.0],\"data_offsets\":[0,4]}}", 4,
    "axis 1 of its shape" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4,
    "not valid JSON" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
    "multiply to more than 2^63-1 bytes" },
  { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
    "which is not the 4 bytes" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "0 <= begin <= end" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, "0 <= begin <= end" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "0 <= begin <= end" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0.0,1.0]}}", 1, "0 <= begin <= end" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 5, "is it truncated?" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,"
    "9223372036854775807]}}",
    5, "is it truncated?" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
    7, "overlaps another tensor's" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
    4, "overlaps another tensor's" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
    6, "leaves a gap" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "leaves a gap" },
  { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3,
    "end at byte 2 of the data, but the file has 3" },
  { "{}", 1, "end at byte 0" },
  { "{\"__metadata__\":[]}", 0, "__metadata__ is not an object" },
  { "{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ key 'a' is not a text" },
  { "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    "not valid JSON" },
  { "{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON" },
};

START_TEST (lying_headers_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = write_file (lies[_i].header, lies[_i].data);
  ck_assert_ptr_null (sora_safetensors_open (path, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, lies[_i].words);
}
END_TEST

START_TEST (deep_json_is_refused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) header = g_string_new ("{\"a\":");
  for (int i = 0; i < 100000; i++)
    g_string_append_c (header, '[');
  g_autofree char *path = write_file (header->str, 0);
  ck_assert_ptr_null (sora_safetensors_open (path, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "not valid JSON");
}
END_TEST

START_TEST (truncated_files_are_refused)
{
  g_autofree char *dir = sora_test_dir ();
  g_autoptr (GByteArray) good = sora_test_safetensors (
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16);
  /* Cut at every byte: never a success, never a crash. */
  for (guint length = 0; length < good->len; length++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *path = sora_test_write (dir, "cut.safetensors", good->data, length);
      ck_assert_ptr_null (sora_safetensors_open (path, &error));
      sora_assert_error (error, SORA_ERROR_INVALID_MODEL,
                         length < 8                ? "too short"
                         : length < good->len - 16 ? "is truncated"
                                                   : "is it truncated?");
    }
}
END_TEST

START_TEST (huge_headers_are_refused_before_they_are_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  const guint8 length[] = { 0, 0, 0, 1, 1, 0, 0, 0, '{', '}' };
  g_autofree char *path = sora_test_write (dir, "huge.safetensors", length, sizeof length);
  ck_assert_ptr_null (sora_safetensors_open (path, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL,
                     "a header of 4311744512 bytes, expected at most 16777216");
}
END_TEST

START_TEST (pickles_are_named_as_such)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *zip = sora_test_write (dir, "model.safetensors", "PK\3\4rest of it", 14);
  g_autofree char *pickle = sora_test_write (dir, "old.safetensors", "\x80\2}q\0.......", 12);
  ck_assert_ptr_null (sora_safetensors_open (zip, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "PyTorch checkpoint, expected safetensors");
  ck_assert_ptr_null (sora_safetensors_open (pickle, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "convert it");
}
END_TEST

START_TEST (only_regular_files_are_opened)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *fifo = g_build_filename (dir, "fifo", NULL);
  g_autofree char *nothing = g_build_filename (dir, "nothing", NULL);
  ck_assert_int_eq (mkfifo (fifo, 0600), 0);
  ck_assert_ptr_null (sora_safetensors_open (fifo, &error)); /* and does not block */
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "expected a regular file");
  ck_assert_ptr_null (sora_safetensors_open (dir, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "a folder");
  ck_assert_ptr_null (sora_safetensors_open (nothing, &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "cannot open");
  int fds[2];
  ck_assert_int_eq (pipe (fds), 0);
  ck_assert_ptr_null (sora_safetensors_open_fd (fds[0], "a pipe", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "'a pipe' is not a regular file");
  close (fds[0]);
  close (fds[1]);
  ck_assert_ptr_null (sora_safetensors_open_fd (-1, "closed", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "closed");
}
END_TEST

START_TEST (a_descriptor_stays_the_callers)
{
  g_autoptr (GError) error = NULL;
  SoraTensorView view;
  g_autofree char *path
      = write_file ("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  g_autoptr (SoraSafetensors) file = sora_safetensors_open_fd (fd, path, &error);
  ck_assert_int_eq (close (fd), 0);
  ck_assert (sora_safetensors_get (file, "a", &view, &error));
  ck_assert_int_eq (((const uint8_t *)view.data)[1], 1);
}
END_TEST

START_TEST (a_file_that_shrinks_is_an_error_for_load)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path
      = write_file ("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  ck_assert_int_eq (truncate (path, 20), 0);
  ck_assert_ptr_null (sora_safetensors_load (file, "a", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "became shorter");
}
END_TEST

static SoraTensor *
filled (SoraDtype dtype, int ndim, const int64_t *shape, uint8_t first)
{
  SoraTensor *tensor = sora_tensor_new (dtype, ndim, shape, NULL);
  SoraTensorView view;
  sora_tensor_get_view (tensor, &view);
  for (uint64_t i = 0; i < view.nbytes; i++)
    ((uint8_t *)view.data)[i] = (uint8_t)(first + i);
  return tensor;
}

START_TEST (what_is_written_is_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *path = g_build_filename (dir, "out.safetensors", NULL);
  const int64_t odd[] = { 3 }, grid[] = { 2, 2 }, none[] = { 0, 4 };
  const char *names[] = { "bytes", "größe \"x\"", "none", "scalar" };
  SoraTensor *tensors[] = { filled (SORA_U8, 1, odd, 1), filled (SORA_BF16, 2, grid, 50),
                            filled (SORA_F32, 2, none, 0), filled (SORA_F64, 0, NULL, 9) };
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (metadata, "made by", "a test");
  ck_assert (sora_safetensors_write (path, names, tensors, 4, metadata, &error));
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_safetensors_metadata (file, "made by"), "a test");
  for (int i = 0; i < 4; i++)
    {
      SoraTensorView view, written;
      sora_tensor_get_view (tensors[i], &written);
      ck_assert (sora_safetensors_get (file, names[i], &view, &error));
      ck_assert_int_eq (view.dtype, written.dtype);
      ck_assert_int_eq (view.ndim, written.ndim);
      ck_assert_uint_eq (view.nbytes, written.nbytes);
      ck_assert (written.nbytes == 0 || memcmp (view.data, written.data, written.nbytes) == 0);
      ck_assert_uint_eq ((uintptr_t)view.data % sora_dtype_size ((SoraDtype)view.dtype), 0);
    }
  const char *twice[] = { "a", "a" };
  ck_assert (!sora_safetensors_write (path, twice, tensors, 2, NULL, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "stands there twice");
  const char *reserved[] = { "__metadata__" };
  ck_assert (!sora_safetensors_write (path, reserved, tensors, 1, NULL, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "is no tensor name");
  g_hash_table_insert (metadata, "broken", "\xff");
  ck_assert (!sora_safetensors_write (path, names, tensors, 4, metadata, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "its metadata is not UTF-8");
  for (int i = 0; i < 4; i++)
    sora_tensor_unref (tensors[i]);
}
END_TEST

static guint
count_files (const char *dir)
{
  g_autoptr (GDir) handle = g_dir_open (dir, 0, NULL);
  guint n = 0;
  while (handle != NULL && g_dir_read_name (handle) != NULL)
    n++;
  return n;
}

START_TEST (a_failed_write_leaves_nothing)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  const int64_t shape[] = { 4 };
  const char *names[] = { "a" };
  g_autoptr (SoraTensor) tensor = filled (SORA_F32, 1, shape, 0);
  /* The place is taken by a folder: the rename fails after all was written. */
  g_autofree char *taken = g_build_filename (dir, "taken", NULL);
  g_autofree char *inside = sora_test_write (taken, "file", "", 0);
  ck_assert (!sora_safetensors_write (taken, names, &tensor, 1, NULL, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "cannot put");
  ck_assert_uint_eq (count_files (dir), 1);
  g_autofree char *nowhere = g_build_filename (dir, "no", "folder", "x.safetensors", NULL);
  ck_assert (!sora_safetensors_write (nowhere, names, &tensor, 1, NULL, &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "cannot create a file in");
}
END_TEST

START_TEST (a_write_that_breaks_off_leaves_nothing)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *path = g_build_filename (dir, "out.safetensors", NULL);
  const int64_t shape[] = { 4096 };
  const char *names[] = { "a" };
  g_autoptr (SoraTensor) tensor = filled (SORA_F32, 1, shape, 0);
  struct rlimit before, limit;
  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &before), 0);
  limit = (struct rlimit){ 1000, before.rlim_max };
  signal (SIGXFSZ, SIG_IGN); /* the write then fails, after the header and a part of the data */
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  gboolean ok = sora_safetensors_write (path, names, &tensor, 1, NULL, &error);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &before), 0);
  ck_assert (!ok);
  sora_assert_error (error, SORA_ERROR_NO_SPACE, "cannot write");
  ck_assert_uint_eq (count_files (dir), 0);
}
END_TEST

START_TEST (errnos_have_codes)
{
  g_autoptr (GError) error = NULL;
  static const struct
  {
    int errnum;
    SoraError code;
  } all[] = { { ENOSPC, SORA_ERROR_NO_SPACE },  { EDQUOT, SORA_ERROR_NO_SPACE },
              { EFBIG, SORA_ERROR_NO_SPACE },   { ENOMEM, SORA_ERROR_NO_MEMORY },
              { ENOENT, SORA_ERROR_NOT_FOUND }, { EACCES, SORA_ERROR_DENIED },
              { EIO, SORA_ERROR_PROTOCOL } };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      sora_error_set_errno (&error, SORA_ERROR_PROTOCOL, all[i].errnum, "cannot write '%s'", "out");
      sora_assert_error (error, all[i].code, "cannot write 'out': ");
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("safetensors");
  TCase *tcase = sora_test_case (suite, "safetensors");
  tcase_add_test (tcase, good_files_are_read);
  tcase_add_test (tcase, unaligned_tensors_are_aligned);
  tcase_add_loop_test (tcase, lying_headers_are_refused, 0, G_N_ELEMENTS (lies));
  tcase_add_test (tcase, deep_json_is_refused);
  tcase_add_test (tcase, truncated_files_are_refused);
  tcase_add_test (tcase, huge_headers_are_refused_before_they_are_read);
  tcase_add_test (tcase, pickles_are_named_as_such);
  tcase_add_test (tcase, only_regular_files_are_opened);
  tcase_add_test (tcase, a_descriptor_stays_the_callers);
  tcase_add_test (tcase, a_file_that_shrinks_is_an_error_for_load);
  tcase_add_test (tcase, what_is_written_is_read);
  tcase_add_test (tcase, a_failed_write_leaves_nothing);
  tcase_add_test (tcase, a_write_that_breaks_off_leaves_nothing);
  tcase_add_test (tcase, errnos_have_codes);
  return sora_test_main (suite);
}
