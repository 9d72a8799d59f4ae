/*
 * trav for programs in C: attaches a traversal to a file, in the kernel where the kernel has a hook, else as native code over
 * pread(2), and runs walks. Link with -ltrav.
 *
 * Arguments, results and rows are the structures `args` and `result` of the header that `trav build SPEC --emit header` writes
 * (struct TRAVERSAL_args, struct TRAVERSAL_result): words, and bytes with their length before them.
 *
 * A hook is used by the thread that attached it, and by no other. Nothing of it outlives it.
 */
#ifndef TRAV_H
#define TRAV_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the functions return. */
enum trav_status {
	TRAV_DONE = 0,     /* it is done; of a stream: there are no more rows */
	TRAV_ROW = 1,      /* a row is there */
	TRAV_FAULT = -1,   /* the walk ended in a fault: what is on the disk is not what the spec says */
	TRAV_CALL = -2,    /* the call is wrong: a spec, a name, a size, an argument */
	TRAV_REFUSED = -3, /* this machine or its kernel does not take the program */
	TRAV_IO = -4,      /* the file cannot be read */
	TRAV_CANCELLED = -5, /* the call was cancelled */
};

/* Flags of trav_attach. */
#define TRAV_DIRECT 1u    /* read past the page cache (O_DIRECT) */
#define TRAV_NO_NATIVE 2u /* in the kernel or not at all */

/* A traversal that is attached to a file. */
struct trav_hook;

/*
 * Attaches. `spec` is a path or a standard module such as "std.ext4"; `hook` is a hook's name as `trav hooks` lists them, or NULL for the
 * best that kernel and rights allow. Needs CAP_BPF and CAP_PERFMON to attach in the kernel. `*attached` is to be closed.
 */
int trav_attach(const char *spec, const char *traversal, const char *file, const char *hook, unsigned int flags,
		struct trav_hook **attached);

/* What was taken, and why nothing better; lives as long as the hook. */
const char *trav_choice(const struct trav_hook *hook);

/*
 * Lays arguments out in `args` from `count` texts NAME=VALUE. A parameter with a default may be left out: its walk is run now. What is
 * laid out can be used for many calls, with members changed in between.
 */
int trav_arguments(struct trav_hook *hook, size_t count, const char *const *texts, void *args, size_t args_size);

/* One walk. The sizes are those of the structures. */
int trav_lookup(struct trav_hook *hook, const void *args, size_t args_size, void *result, size_t result_size);

/* Begins a stream; the one that was going on in this hook is over. */
int trav_begin(struct trav_hook *hook, const void *args, size_t args_size);

/* The next row of the stream: TRAV_ROW, TRAV_DONE or a failure, after which there is none. The walk is suspended in between. */
int trav_next(struct trav_hook *hook, void *row, size_t row_size);

/* What the last call of this thread that failed has to say; lives until the next one. */
const char *trav_error(void);

/* What ends the calls of a hook. It may outlive the hook, and any thread may use it. */
struct trav_canceller;

/* A canceller of the hook, to be closed; NULL for NULL. */
struct trav_canceller *trav_canceller(const struct trav_hook *hook);

/*
 * The call that is running ends before its next read with TRAV_CANCELLED, and so do later ones until trav_revive. A read that has been begun
 * is waited for. NULL does nothing.
 */
void trav_cancel(const struct trav_canceller *canceller);

/* Lets a cancelled hook make calls again. */
int trav_revive(struct trav_hook *hook);

/* Frees; NULL is nothing to close. */
void trav_canceller_close(struct trav_canceller *canceller);

/* Detaches and frees; NULL is nothing to close. */
void trav_close(struct trav_hook *hook);

#ifdef __cplusplus
}
#endif
#endif
