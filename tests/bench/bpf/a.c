#include "walk.h"

struct node { u64 next, kind, keys[31], ptrs[31]; };

INLINE int walk(void)
{
	const struct node *n = (void *)block;
	u64 key = io.args[0], zero = io.zero, kind = n->kind, low = 0, high = 31, i;

	if (kind > 1)
		return FAULT;
	/* 31, 15, 7, 3, 1: five probes, always. */
#pragma clang loop unroll(full)
	for (int round = 0; round < 5; round++) {
		u64 middle = (low + high) / 2;
		if (middle > 30)
			return FAULT;
		if (n->keys[middle] <= key)
			low = middle + 1;
		else
			high = middle;
		low += zero;
		high += zero;
	}
	if (low == 0)
		return NONE;
	i = low - 1;
	if (i > 30)
		return FAULT;
	if (kind == 1 && n->keys[i] != key)
		return NONE;
	io.results[0] = n->ptrs[i];
	return FOUND;
}
