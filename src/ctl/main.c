#include "ctl/ctl.h"

#include <stdio.h>

static const char help[] =
    "usage: belfryctl [-c FILE] COMMAND [OPTION]... [ARGUMENT]...\n"
    "\n"
    "  token    make a token, or say why one would be refused\n"
    "  secret   make a key file\n"
    "  publish  publish a message\n"
    "  listen   print what is published\n"
    "  chat     talk in a room\n"
    "  history  print what is stored\n"
    "  stats    print the daemon's figures\n"
    "  backup   copy the log's database, beside the running daemon\n"
    "  check    look for damage in it\n"
    "  kick, ban, unban, mute, unmute, bans, mutes\n"
    "           keep order in rooms\n"
    "  revoke, unrevoke, revocations\n"
    "           refuse tokens, and end their connections\n"
    "  bench    put load on a daemon and measure\n"
    "\n"
    "`belfryctl COMMAND --help` tells more. The daemon is found by -c FILE (its configuration), or by the\n"
    "environment variables BELFRY_URL and BELFRY_TOKEN, or by the configuration " BELFRY_SYSCONFDIR
    "/belfryd.conf.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"token", ctl_token},
    {"secret", ctl_secret},
    {"publish", ctl_publish},
    {"listen", ctl_listen},
    {"chat", ctl_chat},
    {"history", ctl_history},
    {"backup", ctl_backup},
    {"check", ctl_check},
    {"stats", ctl_stats},
    {"kick", ctl_moderate},
    {"ban", ctl_moderate},
    {"unban", ctl_moderate},
    {"mute", ctl_moderate},
    {"unmute", ctl_moderate},
    {"bans", ctl_moderate},
    {"mutes", ctl_moderate},
    {"revoke", ctl_moderate},
    {"unrevoke", ctl_moderate},
    {"revocations", ctl_moderate},
    {"bench", ctl_bench},
};

static int
run(int argc, char **argv)
{
	const char *name = argv[0];

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc, argv);
	}
	(void)ctl_fail(
	    EX_USAGE, "unknown %s '%s'", name[0] == '-' ? "option" : "command", name); /* below */
	(void)fputs(help, stderr);
	return EX_USAGE;
}

/* How many arguments in front are options for whichever command comes: -c FILE and --json. */
static int
count_leading(int argc, char **argv)
{
	int n = 1;

	while (n < argc) {
		if (strcmp(argv[n], "-c") == 0 || strcmp(argv[n], "--config") == 0)
			n += 2;
		else if (strcmp(argv[n], "--json") == 0 || strncmp(argv[n], "--config=", 9) == 0)
			n++;
		else
			break;
	}
	return n - 1;
}

/* Puts the command in front of the options that stand before it; false when there is none. */
static bool
bring_forward(int argc, char **argv)
{
	int n = count_leading(argc, argv);
	char *command;

	if (n + 1 >= argc)
		return false;
	command = argv[n + 1];
	memmove(argv + 2, argv + 1, (size_t)n * sizeof(*argv));
	argv[1] = command;
	return true;
}

int
main(int argc, char **argv)
{
	int code;

	if (!bring_forward(argc, argv)) {
		(void)fputs(help, stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "help") == 0 && argc == 3) { /* help COMMAND: COMMAND --help */
		char option[] = "--help";
		char *words[] = {argv[2], option, NULL};

		code = run(2, words);
	} else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		   strcmp(argv[1], "help") == 0) {
		(void)fputs(help, stdout);
		code = EX_OK;
	} else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)puts("belfryctl " BELFRY_VERSION);
		code = EX_OK;
	} else {
		code = run(argc - 1, argv + 1);
	}
	/* a full disk or a closed pipe must not look like success */
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == EX_OK)
		code = ctl_fail(EX_IOERR, "writing the output failed");
	return code;
}
