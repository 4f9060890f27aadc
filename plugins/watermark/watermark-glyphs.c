/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-glyphs.c: the tables of the mark's two faces.  Round letters are ellipses of 9 by 10 units, stems
 * are lines, all of one weight; every pixel glyph fills at most five columns and stands on the sixth row.
 */
#include "watermark-glyphs.h"

#define L(...) { WATERMARK_LINE, { __VA_ARGS__ } }
#define A(...) { WATERMARK_ARC, { __VA_ARGS__ } }
#define N(a) (int) (sizeof (a) / sizeof *(a))

/* clang-format off */
static const WatermarkStroke s_a[] = { A (4.5f, 5, 4.5f, 5, 0, 360), L (9, 0, 9, 10) };
static const WatermarkStroke s_b[] = { L (0, 0, 0, 15), A (4.5f, 5, 4.5f, 5, 0, 360) };
static const WatermarkStroke s_c[] = { A (4.5f, 5, 4.5f, 5, 48, 312) };
static const WatermarkStroke s_d[] = { A (4.5f, 5, 4.5f, 5, 0, 360), L (9, 0, 9, 15) };
static const WatermarkStroke s_e[] = { A (4.5f, 5, 4.5f, 5, 0, 312), L (0, 5, 9, 5) };
static const WatermarkStroke s_f[] = { L (2.5f, 0, 2.5f, 12), A (5.5f, 12, 3, 3, 90, 180), L (0, 10, 5.5f, 10) };
static const WatermarkStroke s_g[] = { A (4.5f, 5, 4.5f, 5, 0, 360), L (9, 10, 9, -1), A (4.5f, -1, 4.5f, 4, 205, 360) };
static const WatermarkStroke s_h[] = { L (0, 0, 0, 15), A (4, 6, 4, 4, 0, 180), L (8, 0, 8, 6) };
static const WatermarkStroke s_i[] = { L (0, 0, 0, 10), L (0, 14, 0, 14.2f) };
static const WatermarkStroke s_j[] = { L (3, 10, 3, -2.5f), A (0.5f, -2.5f, 2.5f, 2.5f, 270, 360), L (3, 14, 3, 14.2f) };
static const WatermarkStroke s_k[] = { L (0, 0, 0, 15), L (0, 3.9f, 7, 10), L (2.6f, 6.2f, 7.5f, 0) };
static const WatermarkStroke s_l[] = { L (0, 0, 0, 15) };
static const WatermarkStroke s_m[] = { L (0, 0, 0, 10), A (3.25f, 6.75f, 3.25f, 3.25f, 0, 180), L (6.5f, 0, 6.5f, 6.75f), A (9.75f, 6.75f, 3.25f, 3.25f, 0, 180), L (13, 0, 13, 6.75f) };
static const WatermarkStroke s_n[] = { L (0, 0, 0, 10), A (4, 6, 4, 4, 0, 180), L (8, 0, 8, 6) };
static const WatermarkStroke s_o[] = { A (4.5f, 5, 4.5f, 5, 0, 360) };
static const WatermarkStroke s_p[] = { L (0, -5, 0, 10), A (4.5f, 5, 4.5f, 5, 0, 360) };
static const WatermarkStroke s_q[] = { L (9, -5, 9, 10), A (4.5f, 5, 4.5f, 5, 0, 360) };
static const WatermarkStroke s_r[] = { L (0, 0, 0, 10), A (4.5f, 5.5f, 4.5f, 4.5f, 70, 180) };
static const WatermarkStroke s_s[] = { A (3.6f, 7.6f, 3.3f, 2.4f, 25, 270), A (3.6f, 2.6f, 3.6f, 2.6f, -155, 90) };
static const WatermarkStroke s_t[] = { L (2.5f, 14, 2.5f, 3), A (5.5f, 3, 3, 3, 180, 270), L (0, 10, 5.5f, 10) };
static const WatermarkStroke s_u[] = { L (0, 4, 0, 10), A (4, 4, 4, 4, 180, 360), L (8, 0, 8, 10) };
static const WatermarkStroke s_v[] = { L (0, 10, 4, 0), L (4, 0, 8, 10) };
static const WatermarkStroke s_w[] = { L (0, 10, 3.2f, 0), L (3.2f, 0, 6.5f, 10), L (6.5f, 10, 9.8f, 0), L (9.8f, 0, 13, 10) };
static const WatermarkStroke s_x[] = { L (0, 0, 7.5f, 10), L (0, 10, 7.5f, 0) };
static const WatermarkStroke s_y[] = { L (0, 10, 4, 0), L (8, 10, 2, -5) };
static const WatermarkStroke s_z[] = { L (0, 10, 7.5f, 10), L (7.5f, 10, 0, 0), L (0, 0, 7.5f, 0) };
static const WatermarkStroke s_0[] = { A (4.5f, 7, 4.5f, 7, 0, 360) };
static const WatermarkStroke s_1[] = { L (0, 11, 3, 14), L (3, 14, 3, 0) };
static const WatermarkStroke s_2[] = { A (4, 10, 4, 4, -37, 160), L (7.19f, 7.59f, 0, 0), L (0, 0, 8, 0) };
static const WatermarkStroke s_3[] = { A (3.9f, 10.6f, 3.4f, 3.4f, -90, 150), A (3.9f, 3.6f, 4, 3.6f, -150, 90) };
static const WatermarkStroke s_4[] = { L (6, 0, 6, 14), L (6, 14, 0, 4.5f), L (0, 4.5f, 8.5f, 4.5f) };
static const WatermarkStroke s_5[] = { L (7, 14, 1, 14), L (1, 14, 0.76f, 7.39f), A (3.9f, 4.5f, 4.1f, 4.5f, -145, 140) };
static const WatermarkStroke s_6[] = { A (4.5f, 4.5f, 4.5f, 4.5f, 0, 360), A (8, 4.5f, 8, 9.5f, 100, 180) };
static const WatermarkStroke s_7[] = { L (0, 14, 8, 14), L (8, 14, 2.5f, 0) };
static const WatermarkStroke s_8[] = { A (4.25f, 10.6f, 3.5f, 3.4f, 0, 360), A (4.25f, 3.6f, 4.25f, 3.6f, 0, 360) };
static const WatermarkStroke s_9[] = { A (4.5f, 9.5f, 4.5f, 4.5f, 0, 360), A (1, 9.5f, 8, 9.5f, -80, 0) };
static const WatermarkStroke s_cap_a[] = { L (0, 0, 5, 14), L (5, 14, 10, 0), L (1.7f, 4.8f, 8.3f, 4.8f) };
static const WatermarkStroke s_cap_b[] = { L (0, 0, 0, 14), L (0, 14, 4.5f, 14), A (4.5f, 10.6f, 3.4f, 3.4f, -90, 90), L (0, 7.2f, 5, 7.2f), A (5, 3.6f, 3.8f, 3.6f, -90, 90), L (0, 0, 5, 0) };
static const WatermarkStroke s_cap_c[] = { A (6.5f, 7, 6.5f, 7, 45, 315) };
static const WatermarkStroke s_cap_d[] = { L (0, 0, 0, 14), L (0, 14, 4, 14), A (4, 7, 6.5f, 7, -90, 90), L (0, 0, 4, 0) };
static const WatermarkStroke s_cap_e[] = { L (0, 0, 0, 14), L (0, 14, 8, 14), L (0, 7, 7, 7), L (0, 0, 8, 0) };
static const WatermarkStroke s_cap_f[] = { L (0, 0, 0, 14), L (0, 14, 8, 14), L (0, 7, 7, 7) };
static const WatermarkStroke s_cap_g[] = { A (6.5f, 7, 6.5f, 7, 45, 360), L (7, 7, 13, 7) };
static const WatermarkStroke s_cap_h[] = { L (0, 0, 0, 14), L (9, 0, 9, 14), L (0, 7, 9, 7) };
static const WatermarkStroke s_cap_i[] = { L (0, 0, 0, 14) };
static const WatermarkStroke s_cap_j[] = { L (6, 14, 6, 3.5f), A (3, 3.5f, 3, 3.5f, 190, 360) };
static const WatermarkStroke s_cap_k[] = { L (0, 0, 0, 14), L (0, 5, 8, 14), L (2.8f, 8.2f, 8.5f, 0) };
static const WatermarkStroke s_cap_l[] = { L (0, 0, 0, 14), L (0, 0, 7.5f, 0) };
static const WatermarkStroke s_cap_m[] = { L (0, 0, 0, 14), L (0, 14, 6, 4), L (6, 4, 12, 14), L (12, 14, 12, 0) };
static const WatermarkStroke s_cap_n[] = { L (0, 0, 0, 14), L (0, 14, 9.5f, 0), L (9.5f, 0, 9.5f, 14) };
static const WatermarkStroke s_cap_o[] = { A (6.5f, 7, 6.5f, 7, 0, 360) };
static const WatermarkStroke s_cap_p[] = { L (0, 0, 0, 14), L (0, 14, 5, 14), A (5, 10.3f, 3.8f, 3.7f, -90, 90), L (0, 6.6f, 5, 6.6f) };
static const WatermarkStroke s_cap_q[] = { A (6.5f, 7, 6.5f, 7, 0, 360), L (8.5f, 4, 13, -0.8f) };
static const WatermarkStroke s_cap_r[] = { L (0, 0, 0, 14), L (0, 14, 5, 14), A (5, 10.3f, 3.8f, 3.7f, -90, 90), L (0, 6.6f, 5, 6.6f), L (4.7f, 6.6f, 8.8f, 0) };
static const WatermarkStroke s_cap_s[] = { A (4.4f, 10.6f, 4.1f, 3.4f, 25, 270), A (4.4f, 3.6f, 4.4f, 3.6f, -155, 90) };
static const WatermarkStroke s_cap_t[] = { L (0, 14, 9, 14), L (4.5f, 14, 4.5f, 0) };
static const WatermarkStroke s_cap_u[] = { L (0, 4.5f, 0, 14), A (4.5f, 4.5f, 4.5f, 4.5f, 180, 360), L (9, 4.5f, 9, 14) };
static const WatermarkStroke s_cap_v[] = { L (0, 14, 5, 0), L (5, 0, 10, 14) };
static const WatermarkStroke s_cap_w[] = { L (0, 14, 3.8f, 0), L (3.8f, 0, 7.5f, 14), L (7.5f, 14, 11.2f, 0), L (11.2f, 0, 15, 14) };
static const WatermarkStroke s_cap_x[] = { L (0, 0, 9, 14), L (0, 14, 9, 0) };
static const WatermarkStroke s_cap_y[] = { L (0, 14, 4.5f, 6.5f), L (9, 14, 4.5f, 6.5f), L (4.5f, 6.5f, 4.5f, 0) };
static const WatermarkStroke s_cap_z[] = { L (0, 14, 9, 14), L (9, 14, 0, 0), L (0, 0, 9, 0) };
static const WatermarkStroke s_dot[] = { L (0, 0, 0, 0.1f) };
static const WatermarkStroke s_dash[] = { L (0, 5, 5, 5) };
static const WatermarkStroke s_low[] = { L (0, -3, 8, -3) };
static const WatermarkStroke s_slash[] = { L (0, -2, 5, 15) };
static const WatermarkStroke s_colon[] = { L (0, 1, 0, 1.1f), L (0, 9, 0, 9.1f) };
static const WatermarkStroke s_plus[] = { L (0, 5, 7, 5), L (3.5f, 1.5f, 3.5f, 8.5f) };

/* A ring that is open towards the upper right, and in the opening the thing that travels along it. */
static const WatermarkStroke s_emblem[] = { A (6.8f, 6.8f, 6.8f, 6.8f, 78, 372), L (11.6f, 11.6f, 11.7f, 11.7f), L (11.4f, 11.6f, 11.8f, 11.6f) };
const WatermarkGlyph watermark_emblem = { 0, 13.6f, N (s_emblem), s_emblem, "" };

static const WatermarkGlyph glyphs[] = {
  { 'a', 9, N (s_a), s_a, ".../.../##./.##/#.#/.##/" },
  { 'b', 9, N (s_b), s_b, "#../#../##./#.#/#.#/##./" },
  { 'c', 8, N (s_c), s_c, ".../.../.##/#../#../.##/" },
  { 'd', 9, N (s_d), s_d, "..#/..#/.##/#.#/#.#/.##/" },
  { 'e', 9, N (s_e), s_e, ".../.../.#./###/#../.##/" },
  { 'f', 6, N (s_f), s_f, ".##/#../##./#../#../#../" },
  { 'g', 9, N (s_g), s_g, ".../.../.##/#.#/#.#/.##/..#/##./" },
  { 'h', 8, N (s_h), s_h, "#../#../##./#.#/#.#/#.#/" },
  { 'i', 0, N (s_i), s_i, "#/./#/#/#/#/" },
  { 'j', 3, N (s_j), s_j, ".#/../.#/.#/.#/.#/.#/#./" },
  { 'k', 7.5f, N (s_k), s_k, "#../#../#.#/##./##./#.#/" },
  { 'l', 0, N (s_l), s_l, "#/#/#/#/#/#/" },
  { 'm', 13, N (s_m), s_m, "...../...../##.#./#.#.#/#.#.#/#.#.#/" },
  { 'n', 8, N (s_n), s_n, ".../.../##./#.#/#.#/#.#/" },
  { 'o', 9, N (s_o), s_o, ".../.../.#./#.#/#.#/.#./" },
  { 'p', 9, N (s_p), s_p, ".../.../##./#.#/#.#/##./#../#../" },
  { 'q', 9, N (s_q), s_q, ".../.../.##/#.#/#.#/.##/..#/..#/" },
  { 'r', 5.5f, N (s_r), s_r, ".../.../#.#/##./#../#../" },
  { 's', 7.2f, N (s_s), s_s, ".../.../.##/#../.##/##./" },
  { 't', 6, N (s_t), s_t, ".../.#./###/.#./.#./.##/" },
  { 'u', 8, N (s_u), s_u, ".../.../#.#/#.#/#.#/.##/" },
  { 'v', 8, N (s_v), s_v, ".../.../#.#/#.#/#.#/.#./" },
  { 'w', 13, N (s_w), s_w, "...../...../#.#.#/#.#.#/#.#.#/.#.#./" },
  { 'x', 7.5f, N (s_x), s_x, ".../.../#.#/.#./.#./#.#/" },
  { 'y', 8, N (s_y), s_y, ".../.../#.#/#.#/#.#/.##/..#/##./" },
  { 'z', 7.5f, N (s_z), s_z, ".../.../###/..#/.#./###/" },
  { '0', 9, N (s_0), s_0, ".#./#.#/#.#/#.#/#.#/.#./" },
  { '1', 3, N (s_1), s_1, ".#/##/.#/.#/.#/.#/" },
  { '2', 8, N (s_2), s_2, "##./..#/..#/.#./#../###/" },
  { '3', 8, N (s_3), s_3, "##./..#/.#./..#/..#/##./" },
  { '4', 8.5f, N (s_4), s_4, "#.#/#.#/#.#/###/..#/..#/" },
  { '5', 8, N (s_5), s_5, "###/#../##./..#/..#/##./" },
  { '6', 9, N (s_6), s_6, ".##/#../##./#.#/#.#/.#./" },
  { '7', 8, N (s_7), s_7, "###/..#/..#/.#./.#./.#./" },
  { '8', 8.5f, N (s_8), s_8, ".#./#.#/.#./#.#/#.#/.#./" },
  { '9', 9, N (s_9), s_9, ".#./#.#/#.#/.##/..#/##./" },
  { 'A', 10, N (s_cap_a), s_cap_a, ".#./#.#/#.#/###/#.#/#.#/" },
  { 'B', 8.8f, N (s_cap_b), s_cap_b, "##./#.#/##./#.#/#.#/##./" },
  { 'C', 11.5f, N (s_cap_c), s_cap_c, ".##/#../#../#../#../.##/" },
  { 'D', 10.5f, N (s_cap_d), s_cap_d, "##./#.#/#.#/#.#/#.#/##./" },
  { 'E', 8, N (s_cap_e), s_cap_e, "###/#../##./#../#../###/" },
  { 'F', 8, N (s_cap_f), s_cap_f, "###/#../##./#../#../#../" },
  { 'G', 13, N (s_cap_g), s_cap_g, ".##/#../#../#.#/#.#/.##/" },
  { 'H', 9, N (s_cap_h), s_cap_h, "#.#/#.#/###/#.#/#.#/#.#/" },
  { 'I', 0, N (s_cap_i), s_cap_i, "###/.#./.#./.#./.#./###/" },
  { 'J', 6, N (s_cap_j), s_cap_j, "..#/..#/..#/..#/#.#/.#./" },
  { 'K', 8.5f, N (s_cap_k), s_cap_k, "#.#/#.#/##./#.#/#.#/#.#/" },
  { 'L', 7.5f, N (s_cap_l), s_cap_l, "#../#../#../#../#../###/" },
  { 'M', 12, N (s_cap_m), s_cap_m, "#...#/##.##/#.#.#/#.#.#/#...#/#...#/" },
  { 'N', 9.5f, N (s_cap_n), s_cap_n, "#..#/##.#/#.##/#..#/#..#/#..#/" },
  { 'O', 13, N (s_cap_o), s_cap_o, ".##./#..#/#..#/#..#/#..#/.##./" },
  { 'P', 8.8f, N (s_cap_p), s_cap_p, "##./#.#/#.#/##./#../#../" },
  { 'Q', 13, N (s_cap_q), s_cap_q, ".##./#..#/#..#/#..#/#.##/.###/" },
  { 'R', 8.8f, N (s_cap_r), s_cap_r, "##./#.#/#.#/##./#.#/#.#/" },
  { 'S', 9, N (s_cap_s), s_cap_s, ".##/#../.#./..#/..#/##./" },
  { 'T', 9, N (s_cap_t), s_cap_t, "###/.#./.#./.#./.#./.#./" },
  { 'U', 9, N (s_cap_u), s_cap_u, "#.#/#.#/#.#/#.#/#.#/###/" },
  { 'V', 10, N (s_cap_v), s_cap_v, "#.#/#.#/#.#/#.#/.#./.#./" },
  { 'W', 15, N (s_cap_w), s_cap_w, "#...#/#...#/#.#.#/#.#.#/##.##/#...#/" },
  { 'X', 9, N (s_cap_x), s_cap_x, "#.#/#.#/.#./.#./#.#/#.#/" },
  { 'Y', 9, N (s_cap_y), s_cap_y, "#.#/#.#/.#./.#./.#./.#./" },
  { 'Z', 9, N (s_cap_z), s_cap_z, "###/..#/.#./.#./#../###/" },
  { ' ', 0, 0, 0, "../../../../../../" },
  { '.', 0, N (s_dot), s_dot, "./././././#/" },
  { '-', 5, N (s_dash), s_dash, "../../../##/../../" },
  { '_', 8, N (s_low), s_low, ".../.../.../.../.../.../###/" },
  { '/', 5, N (s_slash), s_slash, "..#/..#/.#./.#./#../#../" },
  { ':', 0, N (s_colon), s_colon, "././#/././#/" },
  { '+', 7, N (s_plus), s_plus, ".../.../.#./###/.#./.../" },
};
/* clang-format on */

const WatermarkGlyph *
watermark_glyph (char character)
{
  for (int i = 0; i < N (glyphs); i++)
    if (glyphs[i].character == character)
      return &glyphs[i];
  return 0;
}
