#include "walk.h"

#define BYTE(at) (block[(at)])
/* Entries behind a restart point, and two to spare. */
#define ENTRIES 18

/* A varint of up to 32 bits; the offset behind it in `at`, or one behind the block where it does not end in it. */
INLINE u64 varint(u64 *at, u64 zero)
{
	u64 value = 0, p = *at;
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++) {
		u64 byte;
		VEIL(p);
		if (p > 4095) {
			*at = 4097;
			return 0;
		}
		byte = block[p];
		p++;
		value |= (byte & 127) << 7 * i;
		if (byte < 128)
			break;
	}
	*at = p + zero;
	return value + zero;
}

/* Bytes 0 to 7 of a key, or 8 to 15, in their order. */
INLINE u64 half(u64 at)
{
	u64 word = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 8; i++)
		word = word << 8 | BYTE(at + i);
	return word;
}

INLINE int walk(void)
{
	u64 zero = io.zero, size = io.args[0], restarts, end, low = 0, high, at, high_key, low_key, k0 = 0, k1 = 0;

	high_key = __builtin_bswap64(io.args[1]);
	low_key = __builtin_bswap64(io.args[2]);
	if (size < 8 || size > 4096)
		return FAULT;
	at = size - 4;
	VEIL(at);
	if (at > 4092)
		return FAULT;
	restarts = *(u32 *)(block + at);
	if (restarts < 1 || restarts > 1023 || 4 * restarts + 4 > size)
		return FAULT;
	end = size - 4 - 4 * restarts;
	/* The last restart point whose key is smaller. */
	high = restarts;
	for (int round = 0; round < 10; round++) {
		u64 middle, shared, unshared, value, less;
		if (low >= high)
			break;
		middle = (low + high) / 2;
		at = end + 4 * middle;
		VEIL(at);
		if (at > 4092)
			return FAULT;
		at = *(u32 *)(block + at);
		shared = varint(&at, zero);
		unshared = varint(&at, zero);
		value = varint(&at, zero);
		VEIL(at);
		if (at > 4080 || shared != 0 || unshared != 16)
			return FAULT;
		k0 = half(at);
		k1 = half(at + 8);
		less = k0 < high_key || (k0 == high_key && k1 < low_key);
		if (less)
			low = middle + 1;
		else
			high = middle;
		low += zero;
		high += zero;
	}
	at = end + 4 * (low ? low - 1 : 0);
	VEIL(at);
	if (at > 4092)
		return FAULT;
	at = *(u32 *)(block + at);
	k0 = k1 = 0;
	for (int entry = 0; entry < ENTRIES; entry++) {
		u64 shared, unshared, value, p;
		if (at >= end)
			return NONE;
		shared = varint(&at, zero);
		unshared = varint(&at, zero);
		value = varint(&at, zero);
		if (at > 4096 || shared + unshared != 16)
			return FAULT;
		p = at;
		/* The bytes behind the shared ones, through a shift of the whole key. */
		for (int i = 0; i < 16; i++) {
			u64 byte;
			if (i < shared)
				continue;
			VEIL(p);
			if (p > 4095)
				return FAULT;
			byte = BYTE(p);
			p++;
			if (i < 8)
				k0 = (k0 & ~(0xffull << (56 - 8 * i))) | byte << (56 - 8 * i);
			else
				k1 = (k1 & ~(0xffull << (120 - 8 * i))) | byte << (120 - 8 * i);
		}
		k0 += zero;
		k1 += zero;
		at = p + zero;
		if (k0 > high_key || (k0 == high_key && k1 >= low_key)) {
			io.results[0] = k0 == high_key && k1 == low_key;
			io.results[1] = at;
			io.results[2] = value;
			return FOUND;
		}
		at += value;
		at += zero;
		if (at > 4096)
			return FAULT;
	}
	return FAULT;
}
