#include "walk.h"

INLINE u64 be16(u64 at)
{
	return __builtin_bswap16(*(u16 *)(block + at));
}

/* A varint's value; the offset behind it in `at`, or one behind the block where it does not end in it. */
INLINE s64 varint(u64 *at, u64 zero)
{
	u64 value = 0, p = *at;
#pragma clang loop unroll(full)
	for (int i = 0; i < 9; i++) {
		u64 byte;
		VEIL(p);
		if (p > 4095) {
			*at = 4097;
			return 0;
		}
		byte = block[p];
		p++;
		if (i == 8) {
			value = value << 8 | byte;
			break;
		}
		value = value << 7 | (byte & 127);
		if (byte < 128)
			break;
	}
	*at = p + zero;
	return value + zero;
}

INLINE int walk(void)
{
	s64 rowid = io.args[0], found;
	u64 zero = io.zero, kind = block[0], cells = be16(3), interior = kind == 5, low = 0, high = cells, at;

	if ((kind != 5 && kind != 13) || cells > 681)
		return FAULT;
	for (int round = 0; round < 10; round++) {
		u64 middle;
		if (low >= high)
			break;
		middle = (low + high) / 2;
		VEIL(middle);
		if (middle > 680)
			return FAULT;
		at = interior ? be16(12 + 2 * middle) + 4 : be16(8 + 2 * middle);
		if (!interior)
			varint(&at, zero);
		found = varint(&at, zero);
		if (at > 4096)
			return FAULT;
		if (found >= rowid)
			high = middle;
		else
			low = middle + 1;
		low += zero;
		high += zero;
	}
	VEIL(low);
	if (low >= cells) {
		if (!interior)
			return NONE;
		io.results[0] = __builtin_bswap32(*(u32 *)(block + 8));
		return FOUND;
	}
	if (low > 680)
		return FAULT;
	if (interior) {
		at = be16(12 + 2 * low);
		VEIL(at);
		if (at > 4092)
			return FAULT;
		io.results[0] = __builtin_bswap32(*(u32 *)(block + at));
		return FOUND;
	}
	at = be16(8 + 2 * low);
	found = varint(&at, zero);
	if (found < 0 || found > 0x7fffffff)
		return FAULT;
	found = varint(&at, zero);
	if (at > 4096)
		return FAULT;
	if (found != rowid)
		return NONE;
	io.results[0] = at;
	return FOUND;
}
