#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>

void
ctl_args_init(struct ctl_args *a, int argc, char **argv, const char *help)
{
	*a = (struct ctl_args){.argc = argc, .argv = argv, .at = 1, .help = help};
}

int
ctl_usage(const struct ctl_args *a, const char *fmt, ...)
{
	va_list args;

	(void)fprintf(stderr, "belfryctl %s: ", a->argv[0]);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args); /* nowhere else to say it */
	va_end(args);
	(void)fprintf(stderr, "\n%.*s\nbelfryctl %s --help tells more.\n",
	    (int)strcspn(a->help, "\n"), a->help, a->argv[0]);
	return EX_USAGE;
}

/*
 * The option that the text of an argument names, without its dashes and value; -1 when none
 * does.
 */
static int
find_long(const struct ctl_option *options, size_t n_options, struct slice name)
{
	for (size_t i = 0; i < n_options; i++) {
		if (slice_eq(slice_str(options[i].name), name))
			return (int)i;
	}
	return -1;
}

static int
find_short(const struct ctl_option *options, size_t n_options, char letter)
{
	for (size_t i = 0; i < n_options; i++) {
		if (options[i].letter != '\0' && options[i].letter == letter)
			return (int)i;
	}
	return -1;
}

static int
wrong(const struct ctl_args *a, const char *what, const char *arg)
{
	(void)ctl_usage(a, "%s '%s'", what, arg); /* CTL_WRONG says it to the caller */
	return CTL_WRONG;
}

int
ctl_args_next(
    struct ctl_args *a, const struct ctl_option *options, size_t n_options, const char **value)
{
	const char *arg;
	const char *attached = NULL;
	int i;

	*value = NULL;
	if (a->at < a->argc && !a->only_operands && strcmp(a->argv[a->at], "--") == 0) {
		a->only_operands = true;
		a->at++;
	}
	if (a->at >= a->argc)
		return CTL_END;
	arg = a->argv[a->at++];
	if (a->only_operands || arg[0] != '-' || arg[1] == '\0') {
		*value = arg;
		return CTL_OPERAND;
	}
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
		(void)fputs(a->help, stdout);
		return CTL_HELP;
	}
	if (arg[1] == '-') {
		size_t n = strcspn(arg + 2, "=");

		i = find_long(options, n_options, slice_of(arg + 2, n));
		if (arg[2 + n] == '=')
			attached = arg + 3 + n;
	} else {
		i = find_short(options, n_options, arg[1]);
		if (arg[2] != '\0')
			attached = arg + 2;
	}
	if (i < 0)
		return wrong(a, "unknown option", arg);
	if (!options[i].has_value)
		return attached == NULL ? i : wrong(a, "no value belongs to", arg);
	if (attached == NULL && a->at >= a->argc)
		return wrong(a, "a value is missing after", arg);
	*value = attached != NULL ? attached : a->argv[a->at++];
	return i;
}
