/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors: alignment, sharing, copy on write, and shapes that cannot be.
 */
#include "config.h"
#include <string.h>
#include "sora-test-util.h"

START_TEST (dtypes_have_names_and_sizes)
{
  static const struct
  {
    SoraDtype dtype;
    const char *name;
    size_t size;
  } all[] = { { SORA_F32, "f32", 4 },  { SORA_F16, "f16", 2 }, { SORA_BF16, "bf16", 2 },
              { SORA_F64, "f64", 8 },  { SORA_U8, "u8", 1 },   { SORA_I8, "i8", 1 },
              { SORA_I16, "i16", 2 },  { SORA_I32, "i32", 4 }, { SORA_I64, "i64", 8 },
              { SORA_BOOL, "bool", 1 } };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      ck_assert_str_eq (sora_dtype_name (all[i].dtype), all[i].name);
      ck_assert_uint_eq (sora_dtype_size (all[i].dtype), all[i].size);
      ck_assert_int_eq (sora_dtype_from_name (all[i].name), all[i].dtype);
    }
  ck_assert_ptr_null (sora_dtype_name (SORA_DTYPE_INVALID));
  ck_assert_ptr_null (sora_dtype_name ((SoraDtype)11));
  ck_assert_uint_eq (sora_dtype_size ((SoraDtype)-1), 0);
  ck_assert_int_eq (sora_dtype_from_name ("f8"), SORA_DTYPE_INVALID);
  ck_assert_int_eq (sora_dtype_from_name (NULL), SORA_DTYPE_INVALID);
}
END_TEST

START_TEST (shapes_are_multiplied_with_care)
{
  uint64_t bytes = 77;
  const int64_t plain[] = { 2, 3, 4 }, negative[] = { 2, -1 }, huge[] = { INT64_MAX, 2 },
                wide[] = { INT64_MAX / 2, 1 }, empty[] = { INT64_C (1) << 60, 0, 7 };
  ck_assert (sora_shape_bytes (SORA_F32, 3, plain, &bytes));
  ck_assert_uint_eq (bytes, 96);
  ck_assert (sora_shape_bytes (SORA_F64, 0, NULL, &bytes));
  ck_assert_uint_eq (bytes, 8);
  ck_assert (sora_shape_bytes (SORA_U8, 3, empty, &bytes));
  ck_assert_uint_eq (bytes, 0);
  ck_assert (!sora_shape_bytes (SORA_F32, 2, negative, &bytes));
  ck_assert (!sora_shape_bytes (SORA_U8, 2, huge, &bytes));
  ck_assert (!sora_shape_bytes (SORA_F32, 2, wide, &bytes));
  /* Nothing is stored, but the strides would wrap. */
  const int64_t endless[] = { INT64_MAX, INT64_MAX, 0 };
  ck_assert (!sora_shape_bytes (SORA_U8, 3, endless, &bytes));
  const int64_t wraps[] = { INT64_C (1) << 62, 4 }; /* 2^64 bytes: 0, if nobody looks */
  ck_assert (!sora_shape_bytes (SORA_U8, 2, wraps, &bytes));
  ck_assert (!sora_shape_bytes (SORA_DTYPE_INVALID, 3, plain, &bytes));
  ck_assert (!sora_shape_bytes (SORA_F32, -1, plain, &bytes));
  ck_assert (!sora_shape_bytes (SORA_F32, 1, NULL, &bytes));
  g_autofree char *text = sora_shape_to_string (3, plain);
  g_autofree char *unknown = sora_shape_to_string (2, negative);
  ck_assert_str_eq (text, "[2,3,4]");
  ck_assert_str_eq (unknown, "[2,?]");
}
END_TEST

START_TEST (new_tensors_are_aligned_and_contiguous)
{
  g_autoptr (GError) error = NULL;
  const int64_t shape[] = { 2, 3, 4 };
  for (int i = 0; i < 20; i++)
    {
      g_autoptr (SoraTensor) tensor = sora_tensor_new (SORA_F16, 3, shape, &error);
      SoraTensorView view;
      ck_assert_ptr_nonnull (tensor);
      sora_tensor_get_view (tensor, &view);
      ck_assert_uint_eq (view.struct_size, sizeof view);
      ck_assert_int_eq (view.dtype, SORA_F16);
      ck_assert_int_eq (view.ndim, 3);
      ck_assert_uint_eq ((uintptr_t)view.data % 64, 0);
      ck_assert_uint_eq (view.nbytes, 48);
      ck_assert_int_eq (view.shape[2], 4);
      ck_assert_int_eq (view.strides[0], 12);
      ck_assert_int_eq (view.strides[1], 4);
      ck_assert_int_eq (view.strides[2], 1);
    }
}
END_TEST

START_TEST (rank_has_no_limit_and_zero_is_a_size)
{
  g_autoptr (GError) error = NULL;
  int64_t shape[200];
  SoraTensorView view;
  for (int i = 0; i < 200; i++)
    shape[i] = i % 50 == 0 ? 2 : 1;
  g_autoptr (SoraTensor) deep = sora_tensor_new (SORA_U8, 200, shape, &error);
  sora_tensor_get_view (deep, &view);
  ck_assert_uint_eq (view.nbytes, 16);
  ck_assert_int_eq (view.strides[0], 8);
  const int64_t none[] = { 0, 5 };
  g_autoptr (SoraTensor) empty = sora_tensor_new (SORA_F32, 2, none, &error);
  sora_tensor_get_view (empty, &view);
  ck_assert_uint_eq (view.nbytes, 0);
  ck_assert_ptr_nonnull (view.data);
  g_autoptr (SoraTensor) scalar = sora_tensor_new (SORA_F64, 0, NULL, &error);
  sora_tensor_get_view (scalar, &view);
  ck_assert_uint_eq (view.nbytes, 8);
  ck_assert_ptr_null (sora_tensor_slice (scalar, 0, 1));
}
END_TEST

START_TEST (impossible_tensors_are_errors)
{
  g_autoptr (GError) error = NULL;
  const int64_t huge[] = { INT64_MAX, 4 }, negative[] = { -3 }, near[] = { INT64_MAX - 8 };
  ck_assert_ptr_null (sora_tensor_new (SORA_F32, 2, huge, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "[9223372036854775807,4] of dtype f32");
  ck_assert_ptr_null (sora_tensor_new (SORA_F32, 1, negative, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "not negative");
  ck_assert_ptr_null (sora_tensor_new ((SoraDtype)99, 0, NULL, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "(99)");
  ck_assert_ptr_null (sora_tensor_new (SORA_F32, -1, NULL, &error));
  sora_assert_error (error, SORA_ERROR_FAILED, "rank -1");
  ck_assert_ptr_null (sora_tensor_new (SORA_U8, 1, near, &error));
  sora_assert_error (error, SORA_ERROR_NO_MEMORY, "9223372036854775799 bytes");
}
END_TEST

static SoraTensor *
numbered (int64_t rows)
{
  const int64_t shape[] = { rows, 2 };
  SoraTensor *tensor = sora_tensor_new (SORA_U8, 2, shape, NULL);
  SoraTensorView view;
  sora_tensor_get_view (tensor, &view);
  for (uint64_t i = 0; i < view.nbytes; i++)
    ((uint8_t *)view.data)[i] = (uint8_t)i;
  return tensor;
}

START_TEST (slices_share_memory_and_keep_it)
{
  SoraTensor *tensor = numbered (10);
  SoraTensorView whole, part;
  sora_tensor_get_view (tensor, &whole);
  SoraTensor *slice = sora_tensor_slice (tensor, 3, 4);
  SoraTensor *inner = sora_tensor_slice (slice, 1, 2);
  sora_tensor_get_view (slice, &part);
  ck_assert_ptr_eq (part.data, (uint8_t *)whole.data + 6);
  ck_assert_int_eq (part.shape[0], 4);
  ck_assert_uint_eq (part.nbytes, 8);
  sora_tensor_unref (tensor);
  sora_tensor_unref (slice);
  sora_tensor_get_view (inner, &part); /* alone it still holds the buffer */
  ck_assert_int_eq (((uint8_t *)part.data)[0], 8);
  ck_assert_ptr_nonnull (part.data);
  ck_assert_ptr_null (sora_tensor_slice (inner, 0, 3));
  ck_assert_ptr_null (sora_tensor_slice (inner, -1, 1));
  ck_assert_ptr_null (sora_tensor_slice (inner, 3, 0));
  ck_assert_ptr_null (sora_tensor_slice (inner, 1, INT64_MAX));
  g_autoptr (SoraTensor) nothing = sora_tensor_slice (inner, 2, 0);
  ck_assert_ptr_nonnull (nothing);
  sora_tensor_unref (inner);
}
END_TEST

START_TEST (make_writable_copies_only_what_is_shared)
{
  g_autoptr (GError) error = NULL;
  SoraTensorView before, after;
  g_autoptr (SoraTensor) tensor = numbered (4);
  sora_tensor_get_view (tensor, &before);
  tensor = sora_tensor_make_writable (tensor, &error);
  sora_tensor_get_view (tensor, &after);
  ck_assert_ptr_eq (before.data, after.data);

  /* A second reference. */
  g_autoptr (SoraTensor) copy = sora_tensor_make_writable (sora_tensor_ref (tensor), &error);
  sora_tensor_get_view (copy, &after);
  ck_assert_ptr_ne (before.data, after.data);
  ck_assert_mem_eq (before.data, after.data, before.nbytes);

  /* A slice that somebody holds. */
  g_autoptr (SoraTensor) slice = sora_tensor_slice (tensor, 1, 2);
  tensor = sora_tensor_make_writable (tensor, &error);
  sora_tensor_get_view (tensor, &after);
  ck_assert_ptr_ne (before.data, after.data);

  /* Now the slice is alone with the old buffer, and becomes its owner. */
  void *place = (uint8_t *)before.data + 2;
  slice = sora_tensor_make_writable (slice, &error);
  sora_tensor_get_view (slice, &after);
  ck_assert_ptr_eq (after.data, place);

  /* A slice of a slice, when the one between is gone and somebody holds the whole. */
  SoraTensor *whole = numbered (6);
  SoraTensor *between = sora_tensor_slice (whole, 1, 4);
  SoraTensor *inner = sora_tensor_slice (between, 1, 2);
  sora_tensor_unref (between);
  sora_tensor_get_view (inner, &before);
  inner = sora_tensor_make_writable (inner, &error);
  sora_tensor_get_view (inner, &after);
  ck_assert_ptr_ne (before.data, after.data);
  sora_tensor_unref (inner);
  sora_tensor_unref (whole);

  /* Two slices of one buffer. */
  g_autoptr (SoraTensor) other = sora_tensor_slice (slice, 0, 1);
  slice = sora_tensor_make_writable (slice, &error);
  sora_tensor_get_view (slice, &after);
  ck_assert_ptr_ne (after.data, place);
  ck_assert_int_eq (((uint8_t *)after.data)[3], 5);
}
END_TEST

static gpointer
hold_and_drop (gpointer data)
{
  for (int i = 0; i < 20000; i++)
    {
      SoraTensor *slice = sora_tensor_slice (data, i % 4, 1);
      sora_tensor_unref (sora_tensor_ref (slice));
      sora_tensor_unref (slice);
    }
  sora_tensor_unref (data);
  return NULL;
}

START_TEST (references_are_counted_from_any_thread)
{
  SoraTensor *tensor = numbered (5);
  GThread *threads[4];
  for (int i = 0; i < 4; i++)
    threads[i] = g_thread_new ("holder", hold_and_drop, sora_tensor_ref (tensor));
  for (int i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  /* Only this reference is left, or the buffer would be another one. */
  SoraTensorView before, after;
  sora_tensor_get_view (tensor, &before);
  tensor = sora_tensor_make_writable (tensor, NULL);
  sora_tensor_get_view (tensor, &after);
  ck_assert_ptr_eq (before.data, after.data);
  sora_tensor_unref (tensor);
}
END_TEST

START_TEST (specs_copy_their_shape)
{
  int64_t shape[] = { -1, 64, 96, 3 };
  g_autoptr (SoraPortSpec) spec = sora_port_spec_new (SORA_U8, 4, shape);
  shape[0] = 17;
  ck_assert_int_eq (spec->shape[0], -1);
  ck_assert_int_eq (spec->shape[3], 3);
  g_autoptr (SoraPortSpec) scalar = sora_port_spec_new (SORA_F32, 0, NULL);
  ck_assert_ptr_null (scalar->shape);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("tensor");
  TCase *tcase = sora_test_case (suite, "tensor");
  tcase_add_test (tcase, dtypes_have_names_and_sizes);
  tcase_add_test (tcase, shapes_are_multiplied_with_care);
  tcase_add_test (tcase, new_tensors_are_aligned_and_contiguous);
  tcase_add_test (tcase, rank_has_no_limit_and_zero_is_a_size);
  tcase_add_test (tcase, impossible_tensors_are_errors);
  tcase_add_test (tcase, slices_share_memory_and_keep_it);
  tcase_add_test (tcase, make_writable_copies_only_what_is_shared);
  tcase_add_test (tcase, references_are_counted_from_any_thread);
  tcase_add_test (tcase, specs_copy_their_shape);
  return sora_test_main (suite);
}
