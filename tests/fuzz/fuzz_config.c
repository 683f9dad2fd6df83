/*
 * The configuration reader on any text: it takes it or names a line, and what it took is within its ranges.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "daemon/config_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig loses the text it was reading when the syntax is wrong. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error e = {.line = 0};
	struct config *c = NULL;
	char *text = mem_strdup(slice_of((const char *)data, size));

	if (text == NULL)
		return 0;
	/* What it includes would depend on the machine. */
	if (strstr(text, "@include") != NULL) {
		mem_free(text);
		return 0;
	}
	if (config_load_text(text, "/nonexistent/belfryd.conf", &c, &e) < 0) {
		if (e.line == 0 || e.text[0] == '\0' || c != NULL)
			abort();
	} else if (c->n_listeners == 0 || c->limits.message == 0 || c->limits.queue < 1024 ||
		   c->events.topics.n == 0) {
		abort();
	}
	config_unref(c);
	mem_free(text);
	return 0;
}
