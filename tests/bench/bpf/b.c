#include "walk.h"

struct entry { u32 block; u16 low, middle; u32 high; } __attribute__((packed));
struct node { u16 magic, entries, max, depth; u32 generation; struct entry entry[340]; } __attribute__((packed));

INLINE int walk(void)
{
	const struct node *n = (void *)block;
	u64 zero = io.zero, entries = n->entries, max = n->max, depth = n->depth, low = 0, high = entries, i, skipped, length;
	u32 wanted = io.args[0];
	const struct entry *e;

	if (n->magic != 0xf30a || entries > max || max > 340 || depth > 5)
		return FAULT;
	for (int round = 0; round < 9; round++) {
		u64 middle;
		if (low >= high)
			break;
		middle = (low + high) / 2;
		VEIL(middle);
		if (middle > 339)
			return FAULT;
		if (n->entry[middle].block <= wanted)
			low = middle + 1;
		else
			high = middle;
		low += zero;
		high += zero;
	}
	if (low == 0)
		return NONE;
	i = low - 1;
	VEIL(i);
	if (i > 339)
		return FAULT;
	e = &n->entry[i];
	if (depth > 0) {
		io.results[0] = (u64)(e->high & 0xffff) << 32 | (u64)e->middle << 16 | e->low;
		return FOUND;
	}
	skipped = wanted - e->block;
	length = e->low;
	if (length > 32768)
		length -= 32768;
	if (skipped >= length)
		return NONE;
	io.results[0] = ((u64)e->middle << 32 | e->high) + skipped;
	return FOUND;
}
