/* What a program in C does with trav: arguments are SPEC FILE. It prints what it finds; each line is a test. */
#include "walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <trav.h>

static int report(const char *what, int status)
{
	printf("%s: %d", what, status);
	if (status < 0)
		printf(" %s", trav_error());
	putchar('\n');
	return status;
}

int main(int argc, char **argv)
{
	struct trav_hook *hook = NULL;
	struct trav_canceller *canceller;
	struct named_args args;
	struct named_result result;
	struct values_args from = { .start = 512 };
	struct values_result row;
	const char *texts[] = { "name=two" };

	if (argc != 3)
		return 2;
	if (report("attach", trav_attach(argv[1], "named", argv[2], NULL, 0, &hook)) < 0)
		return 1;
	canceller = trav_canceller(hook);
	printf("taken: %d\n", strlen(trav_choice(hook)) > 0);
	report("arguments", trav_arguments(hook, 1, texts, &args, sizeof(args)));
	printf("start %" PRIu64 " name %.*s\n", (uint64_t)args.start, (int)args.name_len, (char *)args.name);
	report("lookup", trav_lookup(hook, &args, sizeof(args), &result, sizeof(result)));
	printf("present %" PRIu64 " at %" PRIu64 " value %" PRIu64 " name %.*s\n", (uint64_t)result.present, (uint64_t)result.at,
	       (uint64_t)result.value, (int)result.name_len, (char *)result.name);
	memcpy(args.name, "six", 3);
	report("lookup", trav_lookup(hook, &args, sizeof(args), &result, sizeof(result)));
	printf("present %" PRIu64 "\n", (uint64_t)result.present);
	trav_cancel(canceller);
	report("cancelled", trav_lookup(hook, &args, sizeof(args), &result, sizeof(result)));
	report("revive", trav_revive(hook));
	report("revived", trav_lookup(hook, &args, sizeof(args), &result, sizeof(result)));
	args.start = 1 << 20;
	report("fault", trav_lookup(hook, &args, sizeof(args), &result, sizeof(result)));
	report("size", trav_lookup(hook, &args, sizeof(args) - 8, &result, sizeof(result)));
	report("kind", trav_begin(hook, &args, sizeof(args)) < 0 ? -1 : trav_next(hook, &result, sizeof(result)));
	report("null", trav_lookup(NULL, &args, sizeof(args), &result, sizeof(result)));
	trav_close(hook);
	trav_cancel(canceller);
	trav_canceller_close(canceller);

	report("attach", trav_attach(argv[1], "values", argv[2], NULL, 0, &hook));
	report("begin", trav_begin(hook, &from, sizeof(from)));
	while (report("next", trav_next(hook, &row, sizeof(row))) == TRAV_ROW)
		printf("row %" PRIu64 "\n", (uint64_t)row.value);
	report("next", trav_next(hook, &row, sizeof(row)));
	trav_close(hook);

	report("hook", trav_attach(argv[1], "values", argv[2], "nothing", 0, &hook));
	report("traversal", trav_attach(argv[1], "nothing", argv[2], NULL, 0, &hook));
	report("file", trav_attach(argv[1], "values", "/nonexistent/file", NULL, 0, &hook));
	trav_close(NULL);
	trav_cancel(trav_canceller(NULL));
	trav_canceller_close(NULL);
	return 0;
}
