# Belfry's build, for GNU make. `make help` lists the targets.
#
# In a clone this file hands everything to build/, after having put there what is missing: Debian's packages, `configure`
# and build/config.mk. In a build folder (build/, or any other where ../configure was run) it does the work itself.

NPROC := $(shell nproc 2>/dev/null || echo 2)
PORT = 8080
FUZZ_SECONDS = 60
SOAK_SECONDS = 300
SOAK_BUILD = plain

ifeq ($(wildcard config.mk),)

TARGETS = all check check-unit check-live check-web autobahn bench soak bench-churn bench-scaling bench-durable bench-start install uninstall dist fuzz lint format run
.PHONY: $(TARGETS) clean distclean deps deps-check deps-ci help
.DEFAULT_GOAL := all

# One job a processor, unless the caller has said how many.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(NPROC))

$(TARGETS): build/config.mk
	+@$(MAKE) $(JOBS) --no-print-directory -C build $@

deps:	## print the packages a build needs, and install them (root, or sudo on a terminal)
	@build-aux/deps.sh build
deps-check: ## the same, with what `make check` needs
	@build-aux/deps.sh build check
deps-ci: ## the same, with what .ci/run needs
	@build-aux/deps.sh build check ci
check check-unit check-live check-web: deps-check
lint fuzz: deps-ci

configure: configure.ac | deps
	autoconf
build/config.mk: configure config.mk.in | deps
	@mkdir -p build
	cd build && ../configure -q $(CONFIGURE_ARGS)

clean:
	@[ ! -f build/config.mk ] || $(MAKE) --no-print-directory -C build clean
distclean: ## remove build/ and everything that is generated
	rm -rf build configure configure~ autom4te.cache
help:
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-14s%s\n", $$1, $$2 }' Makefile

else

include config.mk

# --- what is built ---------------------------------------------------------------------------------------------------

LAYERS = base proto core store net serve daemon
MAIN = src/daemon/main.c
sources = $(patsubst $(srcdir)/%,%,$(sort $(wildcard $(srcdir)/$(1))))
LIB_SRCS := $(filter-out $(MAIN),$(foreach layer,$(LAYERS),$(call sources,src/$(layer)/*.c)))
CTL_SRCS := $(call sources,src/ctl/*.c)
UNIT_SRCS := $(call sources,tests/unit/test_*.c)
FUZZ_SRCS := $(call sources,tests/fuzz/fuzz_*.c)
HELP_SRCS := $(call sources,tests/unit/support*.c) $(call sources,tests/unit/mem_faults.c)
FUZZ_HELP_SRCS := $(call sources,tests/fuzz/support*.c) \
	$(addprefix tests/unit/support_,hub.c peer.c oracle.c reading.c)
RIG_SRCS := $(call sources,tests/unit/rig*.c)
MODEL_SRCS := $(call sources,tests/unit/model*.c)
ALL_SRCS = $(LIB_SRCS) $(MAIN) $(CTL_SRCS)
TEST_SRCS = $(sort $(UNIT_SRCS) $(HELP_SRCS) $(RIG_SRCS) $(MODEL_SRCS) $(FUZZ_SRCS) $(FUZZ_HELP_SRCS) tests/fuzz/replay.c)

objects = $(patsubst %.c,obj/%.o,$(1))
UNITS = $(patsubst tests/unit/%.c,unit/%,$(UNIT_SRCS))
FUZZERS = $(patsubst tests/fuzz/%.c,fuzzers/%,$(FUZZ_SRCS))

WERROR =
FUZZ_ENGINE = obj/tests/fuzz/replay.o
ALL_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/src $(DAEMON_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=gnu17 -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wcast-qual -Wundef -Wvla -Wformat=2 \
	-Wimplicit-fallthrough -Wpointer-arith -Wnull-dereference -Wdouble-promotion -Wswitch-enum -Wdate-time \
	$(WARNINGS) $(WERROR) -fPIE -pthread $(HARDENING) $(CFLAGS)
PATHS = -DBELFRY_VERSION='"$(VERSION)"' -DBELFRY_SYSCONFDIR='"$(sysconfdir)/belfry"' \
	-DBELFRY_DATADIR='"$(datadir)/belfry"' -DBELFRY_STATEDIR='"/var/lib/belfry"'
COMPILE = $(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(PATHS)
LINK = $(call say,LD,$@)$(CC) $(ALL_CFLAGS) -pie $(LINK_HARDENING) $(LDFLAGS) -o $@
# One short line a command; V=1 shows the whole command.
V = 0
say = $(if $(filter 0,$(V)),@echo '  $(1)	$(patsubst $(srcdir)/%,%,$(2))';)

.PHONY: all check check-unit check-live check-web tests fuzzers run install uninstall clean distclean dist fuzz lint format \
	autobahn bench soak bench-churn bench-scaling bench-durable bench-start deps deps-check deps-ci help
.DEFAULT_GOAL := all
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(NPROC)
endif

all: belfryd belfryctl	## build belfryd and belfryctl (the default)

belfryd: $(call objects,$(MAIN)) libbelfry.a
	$(LINK) $^ $(DAEMON_LIBS) $(LIBS)
belfryctl: $(call objects,$(CTL_SRCS)) libbelfry.a
	$(LINK) $^ $(DAEMON_LIBS) $(CURL_LIBS) $(LIBS)
libbelfry.a: $(call objects,$(LIB_SRCS))
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

# Every object depends on what configure found; its headers follow by themselves.
obj/src/%.o: $(srcdir)/src/%.c config.mk
	@mkdir -p $(@D)
	$(COMPILE) $(if $(filter ctl/%,$*),$(CURL_CFLAGS)) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
obj/tests/%.o: WARNINGS := $(filter-out -Wstack-usage=%,$(WARNINGS))
obj/tests/%.o: $(srcdir)/tests/%.c config.mk
	@mkdir -p $(@D)
	$(COMPILE) -I$(srcdir) -DSRCDIR='"$(abs_srcdir)"' $(TEST_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

config.mk: $(srcdir)/config.mk.in config.status
	./config.status -q config.mk
config.status: $(srcdir)/configure
	./config.status -q --recheck
	./config.status -q

# What a unit test defines itself stands in for the library's: src/base/mem.o, which can fail on demand, and fakes of the
# layers around. Its objects come first and the first definition is taken.
unit/%: obj/tests/unit/%.o $(call objects,$(HELP_SRCS)) libbelfry.a
	@mkdir -p $(@D)
	$(LINK) -Wl,-z,muldefs $(filter %.o,$^) libbelfry.a $(TEST_LIBS) $(DAEMON_LIBS) $(LIBS)
unit/test_oom_live: $(call objects,$(RIG_SRCS))
unit/test_model: $(call objects,$(MODEL_SRCS))
# A fuzzer's stand-ins win in the same way; of what the fuzzers share each takes what it needs.
libfuzz.a: $(call objects,$(FUZZ_HELP_SRCS))
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^
fuzzers/%: obj/tests/fuzz/%.o $(filter %.o,$(FUZZ_ENGINE)) libfuzz.a libbelfry.a
	@mkdir -p $(@D)
	$(LINK) -Wl,-z,muldefs $^ $(filter-out %.o,$(FUZZ_ENGINE)) $(TEST_LIBS) $(DAEMON_LIBS) $(LIBS)
tests: $(UNITS) $(FUZZERS)
fuzzers: $(FUZZERS)
.SECONDARY:

-include $(patsubst %.c,obj/%.d,$(ALL_SRCS) $(TEST_SRCS))

# --- what is done with it --------------------------------------------------------------------------------------------

AUX = $(srcdir)/build-aux

run: all	## build, then serve a chat on localhost with a fresh token (PORT=8080)
	@PORT='$(PORT)' exec $(AUX)/run.sh

ifeq ($(HAVE_CHECK),yes)
check: all	## run the tests: units, vectors, fuzz corpus, client library, live daemon
	+@UNITS='$(UNITS)' FUZZERS='$(FUZZERS)' $(AUX)/check.sh build unit corpus client live
check-unit:	## only those that need no daemon
	+@UNITS='$(UNITS)' FUZZERS='$(FUZZERS)' $(AUX)/check.sh build unit corpus
else
# Check may have come after configure had looked.
check check-unit:
	@test -z '$(LOOKED)' && pkg-config --exists check || { echo 'The tests need Check: make deps-check installs it.'; exit 1; }
	./config.status -q --recheck && ./config.status -q
	+@$(MAKE) --no-print-directory LOOKED=yes $@
endif
check-live: all	## only the live tests (PYTEST_ARGS='-k text' chooses)
	@$(AUX)/check.sh live
check-web: all	## the page and the examples in Chromium
	@$(AUX)/check.sh web
autobahn: all	## Autobahn|Testsuite's 517 WebSocket cases (needs a Python 2.7)
	@$(AUX)/autobahn.sh

bench: all bench/floor	## measure against a bare send() loop, 6 minutes (BENCH_ROUNDS=3, BENCH_TIME=2)
	@$(srcdir)/tests/bench/bench.py
bench-churn: all	## 2,000 clients at random for 5 minutes, every message accounted for (CHURN_TIME=5m)
	@$(srcdir)/tests/bench/churn.py
bench-scaling: all bench/floor	## how cost grows with connections, topics and messages: docs/scaling.svg
	@$(srcdir)/tests/bench/scaling.py $(srcdir)
bench-durable: bench/durable	## messages a second with storage.sync = full, against a bare loop of SQLite transactions, 3 min
	@mkdir -p bench/durable.d && bench/durable bench/durable.d
	@echo 'The same where each flush takes 2 ms:' && bench/durable -f 2 bench/durable.d
	@echo 'Each publisher says 20 a second, at random moments:' && bench/durable -o 20 -s 2 bench/durable.d
bench-start: all	## how long a start takes with 100,000 topics and 1,000,000 messages, 1 min
	@mkdir -p bench && $(srcdir)/tests/bench/start.py
bench/durable: $(srcdir)/tests/bench/durable.c libbelfry.a
	@mkdir -p $(@D)
	$(LINK) $(ALL_CPPFLAGS) $< libbelfry.a $(DAEMON_LIBS) $(LIBS)
bench/floor: $(srcdir)/tests/bench/floor.c
	@mkdir -p $(@D)
	$(LINK) $(ALL_CPPFLAGS) $<

soak: all	## random clients, faults and reloads, all accounted for (SOAK_SECONDS=300, SOAK_BUILD=plain, asan or tsan)
	@SOAK_SECONDS='$(SOAK_SECONDS)' SOAK_BUILD='$(SOAK_BUILD)' $(AUX)/soak.sh

fuzz:	## fuzz every parser (FUZZ_SECONDS=60 each)
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' $(AUX)/fuzz.sh

# --- installing ------------------------------------------------------------------------------------------------------

INSTALL = install
SBIN_FILES = belfryd
BIN_FILES = belfryctl
MAN_FILES := $(call sources,man/*.[1-9])
WEB_FILES := $(patsubst $(srcdir)/%,%,$(sort $(shell find $(srcdir)/web -type f 2>/dev/null)))
DOC_FILES := README.md SECURITY.md LICENSE $(call sources,docs/*)
UNIT_FILES = systemd/belfryd.service:$(systemdsystemunitdir)/belfryd.service \
	systemd/belfry.sysusers:$(sysusersdir)/belfry.conf systemd/belfry.tmpfiles:$(tmpfilesdir)/belfry.conf
CONF = $(DESTDIR)$(sysconfdir)/belfry/belfryd.conf
# The files name the places of a package; installed they name those of this build.
PLACES = sed -e 's|/usr/sbin/|$(sbindir)/|' -e 's|/usr/bin/|$(bindir)/|' -e 's|/usr/share/belfry|$(datadir)/belfry|' \
	-e 's|/usr/share/doc/belfry|$(docdir)|' -e 's|/etc/belfry|$(sysconfdir)/belfry|'

install: all	## install under $(DESTDIR)$(prefix); an existing belfryd.conf is kept
	@set -e; put() { echo "  $$2"; $(INSTALL) -D -m "$$3" "$$1" "$$2"; }; \
	for f in $(SBIN_FILES); do put $$f "$(DESTDIR)$(sbindir)/$$f" 755; done; \
	for f in $(BIN_FILES); do put $$f "$(DESTDIR)$(bindir)/$$f" 755; done; \
	rm -f obj/installed; \
	for f in $(MAN_FILES); do \
		$(PLACES) $(srcdir)/$$f >obj/installed; \
		put obj/installed "$(DESTDIR)$(mandir)/man$${f##*.}/$${f##*/}" 644; done; \
	for f in $(WEB_FILES); do put $(srcdir)/$$f "$(DESTDIR)$(datadir)/belfry/$$f" 644; done; \
	for f in $(DOC_FILES); do put $(srcdir)/$$f "$(DESTDIR)$(docdir)/$$f" 644; done; \
	for pair in $(UNIT_FILES); do \
		$(PLACES) $(srcdir)/$${pair%%:*} >obj/installed; put obj/installed "$(DESTDIR)$${pair#*:}" 644; done; \
	$(PLACES) $(srcdir)/etc/belfryd.conf >obj/installed; put obj/installed "$(CONF).sample" 644; \
	if [ -e "$(CONF)" ]; then echo "  $(CONF) is kept"; else put obj/installed "$(CONF)" 644; fi; \
	rm -f obj/installed

uninstall:	## remove what install put there, all but belfryd.conf
	@gone() { echo "  $$1"; rm -f "$$1"; }; \
	for f in $(SBIN_FILES); do gone "$(DESTDIR)$(sbindir)/$$f"; done; \
	for f in $(BIN_FILES); do gone "$(DESTDIR)$(bindir)/$$f"; done; \
	for f in $(MAN_FILES); do gone "$(DESTDIR)$(mandir)/man$${f##*.}/$${f##*/}"; done; \
	for f in $(WEB_FILES); do gone "$(DESTDIR)$(datadir)/belfry/$$f"; done; \
	for f in $(DOC_FILES); do gone "$(DESTDIR)$(docdir)/$$f"; done; \
	for pair in $(UNIT_FILES); do gone "$(DESTDIR)$${pair#*:}"; done; \
	gone "$(CONF).sample"; \
	find "$(DESTDIR)$(datadir)/belfry" "$(DESTDIR)$(docdir)" -depth -type d -empty -delete 2>/dev/null || true

# --- the rest --------------------------------------------------------------------------------------------------------

DIST = belfry-$(VERSION)
dist:	## make belfry-VERSION.tar.gz from the last commit, with configure in it
	@git -C $(srcdir) rev-parse --verify -q HEAD >/dev/null || { echo 'make dist needs the git repository'; exit 1; }
	cd $(srcdir) && git archive --prefix=$(DIST)/ --add-file=configure -o $(CURDIR)/$(DIST).tar HEAD
	gzip -9nf $(DIST).tar
	@echo $(CURDIR)/$(DIST).tar.gz

lint: all	## layers, globals, sizes, format, clang-tidy, cppcheck, shell, manual pages, spelling
	+@MAKEFLAGS= $(AUX)/lint.sh
format:	## let clang-format write the C files
	cd $(srcdir) && clang-format-14 -i $(shell cd $(srcdir) && find src tests -name '*.[ch]')

# clang-tidy, a file at a time and again only when something it reads has changed.
HEADERS := $(shell find $(srcdir)/src -name '*.h')
tidy: $(ALL_SRCS:%.c=tidied/%)
tidied/%: $(srcdir)/%.c $(HEADERS) $(srcdir)/.clang-tidy config.mk
	@mkdir -p $(@D)
	@clang-tidy-14 --quiet --warnings-as-errors='*' $< -- -std=gnu17 $(ALL_CPPFLAGS) $(PATHS) $(CURL_CFLAGS) \
		>$@.log 2>/dev/null || { cat $@.log; exit 1; }
	@touch $@

clean:	## remove what was compiled
	rm -rf obj unit fuzzers fuzz tidied libbelfry.a libfuzz.a belfryd belfryctl check $(DIST).tar.gz
distclean: clean
	rm -rf venv node run autobahn bench soak config.mk config.status config.log Makefile
deps:
	@$(AUX)/deps.sh build
deps-check:
	@$(AUX)/deps.sh build check
deps-ci:
	@$(AUX)/deps.sh build check ci
help:	## print this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-14s%s\n", $$1, $$2 }' $(srcdir)/Makefile

endif
