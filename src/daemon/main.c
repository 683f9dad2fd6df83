#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/mem.h"
#include "base/rng.h"
#include "daemon/server.h"

#define DEFAULT_CONFIG BELFRY_SYSCONFDIR "/belfryd.conf"

static void
usage(FILE *to)
{
	(void)fprintf(to,
	    "usage: belfryd [-c FILE] [-t] [-V] [-h]\n"
	    "\n"
	    "  -c, --config FILE    the configuration (" DEFAULT_CONFIG ")\n"
	    "  -t, --check-config   check it and exit: 0, or 78 with FILE:LINE: what is wrong\n"
	    "  -V, --version        print the version\n"
	    "  -h, --help           print this\n"
	    "\n"
	    "Runs in the foreground and logs to stderr. SIGHUP reloads, SIGTERM stops in good order.\n"
	    "See belfryd(8) and belfryd.conf(5).\n");
}

static void
set_signals(void)
{
	sigset_t reload;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write */
	(void)signal(SIGUSR1, SIG_IGN); /* others open their logs anew then; here is none to open */
	(void)signal(SIGUSR2, SIG_IGN);
	/* one that comes while the daemon starts waits until it can be followed */
	(void)sigemptyset(&reload);
	(void)sigaddset(&reload, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &reload, NULL);
}

/* A full disk or a closed pipe must not look like success. */
static int
end_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EX_OK;
	(void)fputs("belfryd: writing the output failed\n", stderr);
	return EX_IOERR;
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"check-config", no_argument, NULL, 't'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	const char *path = DEFAULT_CONFIG;
	struct server *server;
	struct setup *setup;
	struct config_error error;
	bool only_check = false;
	uint8_t guest_key[32];
	int option;
	int code;

	while ((option = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 't':
			only_check = true;
			break;
		case 'V':
			(void)printf("belfryd %s\n", BELFRY_VERSION);
			return end_output();
		case 'h':
			usage(stdout);
			return end_output();
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "belfryd: '%s' is not expected here\n", argv[optind]);
		usage(stderr);
		return EX_USAGE;
	}
	set_signals();
	rng_fill(guest_key, sizeof(guest_key));
	setup = server_load(path, guest_key, &error);
	if (setup == NULL) {
		diag_say("%s:%u: %s", error.file, error.line, error.text);
		return EX_CONFIG;
	}
	if (only_check) {
		(void)printf("%s: ok\n", path);
		setup_unref(setup);
		return end_output();
	}
	server = mem_calloc(1, sizeof(*server));
	if (server == NULL) {
		setup_unref(setup);
		return EX_OSERR;
	}
	diag_init(&server->diag);
	memcpy(server->guest_key, guest_key, sizeof(guest_key));
	code = server_run(server, setup, path);
	setup_unref(setup);
	mem_free(server);
	libevent_global_shutdown();
	return code;
}
