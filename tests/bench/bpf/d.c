#include "walk.h"

INLINE int walk(void)
{
	const u64 *words = (void *)block;
	u64 sum = 0;

	for (int i = 0; i < 64; i++)
		sum += words[1 + i];
	io.results[0] = words[0];
	io.results[1] = sum;
	return FOUND;
}
