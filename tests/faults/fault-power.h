/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A power cut, of the worst kind that a file system may be: whatever was not made durable is gone.
 * What a file held at its last fsync is kept before it is written to, and what a folder held
 * before a name in it changed; power_cut() puts it all back. Files made by open (O_CREAT) keep
 * their names, and are empty. One lock is over all of it: the shim's.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

/* Where removed and replaced files are kept: a folder on the same file system, outside the other.
 * Before it is set, all other calls do nothing. */
void power_set_up (const char *keep);
/* Before @fd is written to, or cut. */
void power_will_write (int fd);
/* After an fsync of a file or a folder. */
void power_synced (int fd);
/* Before a name goes or is taken over.  Returns: what to give to the call after it. */
unsigned power_keep (int dir, const char *path);
/* After it: a name is new (a file's or a folder's), was removed, or was moved. */
void power_named (int dir, const char *path);
void power_removed (int dir, const char *path, bool folder, unsigned kept);
void power_moved (int from, const char *old, int dir, const char *path, unsigned kept);
/* Puts everything back. */
void power_cut (void);
