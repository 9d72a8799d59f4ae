/* What the C side of the BPF benchmark shares: the block, the arguments and results, and how a walk becomes a program.
 *
 * The sources are tamed by hand for the kernel's verifier, which refuses the natural ones: loops with a fixed count, a test on the very
 * register at each access, and "widening": adding a zero that the verifier does not know to be one, so that its states merge. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* The compiler knows no more of x than that it is in a register. */
#define VEIL(x) __asm__ volatile("" : "+r"(x))

enum { NONE, FOUND, FAULT };

u8 block[4096] SECTION(".data.block") = { 1 };

/* `zero` is one that nobody but the loader knows of. */
struct { u64 zero, args[3], results[3]; } io;

char licence[] SECTION("license") = "GPL";

INLINE int walk(void);

SECTION("classifier") int step(void *context) { return walk(); }

/* The same without the work. */
SECTION("classifier") int harness(void *context)
{
	io.results[0] = io.args[0];
	io.results[1] = io.args[1];
	return FOUND;
}

/* Nothing: what a run costs by itself. */
SECTION("classifier") int empty(void *context) { return 0; }
