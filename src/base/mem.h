/* All memory of the engine comes from here, so that one byte budget holds for the process.
 *
 * Large blocks (>= 1 MiB) live in regions of 2 MiB-aligned, huge-page-advised memory that is recycled
 * between operators and queries instead of being unmapped: touching fresh pages is the engine's largest
 * single cost (ARCHITECTURE.md, "Memory"). Small blocks are malloc's. Everything returned is aligned to 64
 * bytes and uninitialised. Thread-safe.
 */
#pragma once
#include "base/status.h"

/* Gives `bytes` (0 allowed) of 64-byte-aligned memory with at least 64 readable bytes past the end,
 * or fails with TR_EXC_MEMORY over the budget. Free with tr_mem_free and the same size. */
TR_MUST_USE enum tr_status tr_mem_alloc(size_t bytes, void **out, struct tr_error *err);
/* As tr_mem_alloc, zeroed. */
TR_MUST_USE enum tr_status tr_mem_calloc(size_t bytes, void **out, struct tr_error *err);
/* Grows or shrinks, keeping min(old, new) bytes. *ptr may be NULL with old_bytes 0. On failure *ptr is untouched. */
TR_MUST_USE enum tr_status tr_mem_realloc(void **ptr, size_t old_bytes, size_t new_bytes, struct tr_error *err);
/* NULL is allowed. */
void tr_mem_free(void *ptr, size_t bytes);

/* The budget in bytes; 0 = default (60 % of the least cgroup limit or machine memory, or TERALITY_MEMORY_BUDGET). */
void tr_mem_set_budget(size_t bytes);
size_t tr_mem_budget(void);
/* Fails when TERALITY_MEMORY_BUDGET is set to what is no budget; the default would be taken in its place. */
TR_MUST_USE enum tr_status tr_mem_check_environment(struct tr_error *err);
/* Bytes handed out and not yet freed (foreign pinned buffers included through tr_mem_account). */
size_t tr_mem_used(void);
/* High-water mark of tr_mem_used since the last reset. */
size_t tr_mem_peak(void);
void tr_mem_reset_peak(void);
/* Counts foreign memory against the budget; negative to release. Never fails. */
void tr_mem_account(int64_t bytes);
/* Gives cached free regions back to the operating system. */
void tr_mem_trim(void);
/* Tests: the n-th allocation from now fails (n >= 1); 0 switches it off. */
void tr_mem_fail_at(int64_t n);
