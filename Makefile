# Masterwork. `make help` lists what can be done; everything that is built goes under build/.
#
# A folder is a library; its mw-*.c are programs; its *_test.c are cmocka tests and its *_fuzz.c are
# fuzzers that may use the libraries of the folder's layer and below (LIBS_*). A new file is found by
# itself.

SHELL := /bin/bash
BUILD ?= build
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PYTHON ?= /usr/bin/python3
FAULTS ?= 1
SAN ?=
OPT ?= -O2
JOBS ?= $(shell nproc)
MAKEFLAGS += --no-print-directory

WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wwrite-strings
CPPFLAGS += -I. -D_GNU_SOURCE -DMW_FAULTS=$(FAULTS)
# Without frame pointers a fault that fires cannot tell from where, and crashes trying (fault.c).
CFLAGS += -std=gnu11 $(OPT) -g -fno-strict-aliasing -fno-omit-frame-pointer $(WARN) $(SAN)
LDFLAGS += $(SAN) $(OPT)

# ---- layers: each line names a folder, its libraries and those below it, in link order ----------
FOLDERS := engine/core engine/os engine/conf engine/shm engine/tls engine/upstream engine/http \
           engine/worker engine/master engine/sim faultinject scenarios/history scenarios/judge \
           scenarios/witness bench
LIBS_scenarios/history := scenarios/history
LIBS_faultinject := faultinject $(LIBS_scenarios/history)
LIBS_engine/core := engine/core
LIBS_engine/os := engine/os $(LIBS_faultinject)
LIBS_engine/conf := engine/conf $(LIBS_engine/os)
LIBS_engine/shm := engine/shm $(LIBS_engine/os)
LIBS_engine/tls := engine/tls engine/conf engine/shm $(LIBS_engine/os)
LIBS_engine/upstream := engine/upstream engine/core $(LIBS_engine/tls)
LIBS_engine/http := engine/http $(LIBS_engine/upstream)
LIBS_engine/worker := engine/worker $(LIBS_engine/http)
LIBS_engine/master := engine/master $(LIBS_engine/worker)
LIBS_scenarios/judge := scenarios/judge $(LIBS_scenarios/history)
LIBS_engine/sim := engine/sim $(LIBS_engine/upstream) $(LIBS_scenarios/judge)
LIBS_scenarios/witness := scenarios/witness $(LIBS_scenarios/history)
SYSLIBS := -lev -lssl -lcrypto -lpcre2-8 -ljansson -lz -lpthread -lm

sources = $(filter-out %_test.c %_fuzz.c,$(wildcard $(1)/*.c))
programs = $(wildcard $(1)/mw-*.c)
members = $(filter-out $(call programs,$(1)),$(call sources,$(1)))
object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
archive = $(BUILD)/lib/$(subst /,-,$(1)).a
archives = $(foreach lib,$(LIBS_$(1)),$(call archive,$(lib)))

TESTS := $(foreach f,$(FOLDERS),$(wildcard $(f)/*_test.c))
TEST_BINS := $(patsubst %.c,$(BUILD)/test/%,$(TESTS))
FUZZERS := $(foreach f,$(FOLDERS),$(wildcard $(f)/*_fuzz.c))
FUZZ_BINS := $(patsubst %.c,$(BUILD)/fuzz/%,$(notdir $(FUZZERS)))
PROGRAMS := $(foreach f,$(FOLDERS),$(call programs,$(f)))
PROGRAM_BINS := $(patsubst %.c,$(BUILD)/bin/%,$(notdir $(PROGRAMS)))

# Objects made with other flags are of no use: a change of them starts afresh, before make looks
# at what there is.
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS)
ifneq ($(FLAGS),$(shell cat $(BUILD)/flags 2>/dev/null))
$(shell rm -rf $(BUILD)/obj $(BUILD)/lib; mkdir -p $(BUILD); echo '$(FLAGS)' > $(BUILD)/flags)
endif

.DEFAULT_GOAL := all
.PHONY: install-built
.PHONY: help deps all verify test sensitivity unit check tidy format format-check san bench clean install

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

all: $(PROGRAM_BINS) $(BUILD)/bin/masterwork ## build every program into build/bin
	@true

define FOLDER_RULES
$(call archive,$(1)): $(call object,$(call members,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
$(foreach p,$(call programs,$(1)),$(eval $(call PROGRAM_RULE,$(p),$(1))))
$(foreach t,$(wildcard $(1)/*_test.c),$(eval $(call TEST_RULE,$(t),$(1))))
$(foreach z,$(wildcard $(1)/*_fuzz.c),$(eval $(call FUZZ_RULE,$(z),$(1))))
endef
define PROGRAM_RULE
$(BUILD)/bin/$(basename $(notdir $(1))): $(call object,$(1)) $(call archives,$(2))
	@mkdir -p $$(@D)
	@echo "  link   $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $(call archives,$(2)) -Wl,--end-group $$(SYSLIBS)
endef
define TEST_RULE
$(BUILD)/test/$(basename $(1)): $(call object,$(1)) $(call archives,$(2))
	@mkdir -p $$(@D)
	@$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $(call archives,$(2)) -Wl,--end-group $$(SYSLIBS) -lcmocka
endef
define FUZZ_RULE
$(BUILD)/fuzz/$(notdir $(basename $(1))): $(call object,$(1)) $(call archives,$(2))
	@mkdir -p $$(@D)
	@$$(CC) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ $$< -Wl,--start-group $(call archives,$(2)) -Wl,--end-group $$(SYSLIBS)
endef
$(foreach f,$(FOLDERS),$(eval $(call FOLDER_RULES,$(f))))
include faultinject/shim/shim.mk

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc     $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

$(BUILD)/bin/masterwork: Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\n# Runs the director from this build.\nhere=$$(cd "$$(dirname "$$0")" && pwd)\nroot=$$(cd "$$here/$(shell realpath -m --relative-to=$(BUILD)/bin .)" && pwd)\nMW_BIN="$$here" PYTHONPATH="$$root/pytests$${PYTHONPATH:+:$$PYTHONPATH}" exec $(PYTHON) -m masterwork "$$@"\n' > $@
	@chmod +x $@

UNIT_S ?= 120
unit: $(TEST_BINS) ## run the C tests
	@fail=0; for t in $(TEST_BINS); do \
	    if out=$$(CMOCKA_MESSAGE_OUTPUT=stdout timeout $(UNIT_S) $$t 2>&1); then echo "  ok     $$t"; \
	    else echo "$$out"; echo "  FAILED $$t (run it again: $$t)"; fail=1; fi; done; exit $$fail

# ---- what is needed, from Debian ------------------------------------------------------------------
DEBIAN_PACKAGES := gcc make pkg-config libc6-dev libev-dev libssl-dev openssl libpcre2-dev zlib1g-dev \
        libjansson-dev libcmocka-dev wrk python3 python3-pytest python3-pytest-timeout \
        python3-pytest-xdist python3-hypothesis python3-numpy python3-rich python3-jinja2 \
        universal-ctags curl procps
CHECK_PACKAGES := clang clang-format libclang-rt-14-dev valgrind nginx-light haproxy apache2-bin \
        nghttp2-client python3-websockets gunicorn uwsgi-core uwsgi-plugin-python3 unicorn puma \
        lighttpd lighttpd-mod-openssl h2o php-fpm
missing = $(shell for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf '%s ' $$p; done)

deps: ## install what is missing (Debian packages)
	@missing='$(call missing,$(DEBIAN_PACKAGES))'; .ci/install $$missing

deps-check: deps ## ... and what only `make check` and the nginx target need
	@missing='$(call missing,$(filter-out nginx-light,$(CHECK_PACKAGES)))'; \
	 [ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; .ci/install $$missing
.PHONY: deps-check

# ---- what a user runs -------------------------------------------------------------------------------
verify: deps ## build, stage the quick stories on the engine, print the verdicts
	@$(MAKE) -j$(JOBS) all
	@$(BUILD)/bin/masterwork verify engine $(VERIFY)

variants: deps ## the stories over plain TCP, TLS and unix sockets, on the engine and on it as a proxy
	@$(MAKE) -j$(JOBS) all
	@$(BUILD)/bin/masterwork variants --jobs $(JOBS) $(VARIANTS)
.PHONY: variants

test: deps-check ## everything that must pass
	@$(MAKE) -j$(JOBS) all $(TEST_BINS)
	@$(MAKE) unit
	@MW_BIN=$(abspath $(BUILD))/bin $(PYTHON) -m pytest pytests -q -n $(JOBS) $(PYTEST)

sensitivity: deps-check ## every sabotage on the engine: is it caught, and nothing without one?
	@$(MAKE) -j$(JOBS) all
	@$(BUILD)/bin/masterwork sensitivity --jobs $(JOBS) $(SENSITIVITY)

check: test tidy format-check ## test, the rules of the house, clang, faults as released, the sanitizers, the fuzzers
	@$(MAKE) CC=clang BUILD=$(BUILD)/clang -j$(JOBS) all
	@$(MAKE) release
	@MW_BIN=$(abspath $(BUILD))/release/bin $(PYTHON) -m pytest pytests/test_faults.py -q -n $(JOBS)
	@$(MAKE) san
	@$(MAKE) fuzz

tidy: ## function lengths, layers, banned calls, a core without I/O, fresh documents
	@$(MAKE) -j$(JOBS) all
	@$(PYTHON) .ci/tidy.py $(BUILD)

C_FILES := $(foreach f,$(FOLDERS) faultinject/shim,$(wildcard $(f)/*.c $(f)/*.h))
format: ## lay out the C code
	@clang-format -i $(C_FILES)
format-check: ## is it laid out?
	@clang-format --dry-run -Werror $(C_FILES)

# Everything runs so, but what is marked `unsanitized`; which tests those are, and why, is printed.
# A report of any process fails the test that was running (pytests/sanitized.py).
san: deps-check ## all C tests, and all tests and stories of the engine, under ASan and UBSan
	@$(MAKE) CC=clang BUILD=$(BUILD)/san SAN="-fsanitize=address,undefined -fno-sanitize-recover=all" \
	    -j$(JOBS) san-run
san-run: all $(TEST_BINS)
	@$(MAKE) UNIT_S=1200 unit
	@rm -rf $(BUILD)/reports
	@MW_SANITIZED=$(abspath $(BUILD))/reports MW_BIN=$(abspath $(BUILD))/bin \
	    $(PYTHON) -m pytest pytests -q -rs -n $(JOBS) $(PYTEST)
.PHONY: san-run

valgrind: deps-check ## stories with the engine under valgrind: no error, nothing lost by master and workers
	@$(MAKE) -j$(JOBS) all
	@MW_BIN=$(abspath $(BUILD))/bin $(PYTHON) -m pytest pytests/test_valgrind.py -q -n $(JOBS) $(PYTEST)
.PHONY: valgrind

# Each fuzzer starts from the corpus in its folder; what it finds new is kept below build/ only. A
# finding is written to build/fuzz and named; FUZZER FILE repeats it.
FUZZ_RUNS ?= 20000
fuzz: ## fuzz the parsers from their corpora, FUZZ_RUNS inputs each
	@$(MAKE) CC=clang BUILD=$(BUILD)/fuzzing SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
	    -j$(JOBS) fuzz-run
fuzz-run: $(FUZZ_BINS)
	@for source in $(FUZZERS); do name=$$(basename $$source _fuzz.c); \
	    corpus=$$(dirname $$source)/corpus/$$name; new=$(BUILD)/fuzz/$$name.new; mkdir -p $$new; \
	    out=$$($(BUILD)/fuzz/$${name}_fuzz -seed=1 -runs=$(FUZZ_RUNS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
	        -artifact_prefix=$(BUILD)/fuzz/$$name- $$new $$corpus 2>&1) \
	        && echo "  ok     $$name: $$(echo "$$out" | tail -n 1)" \
	        || { echo "$$out" | tail -n 40; echo "  FAILED $$name (run it again: $(BUILD)/fuzz/$${name}_fuzz with the file named above)"; exit 1; }; done
.PHONY: fuzz fuzz-run

traces: all ## record scenarios/traces anew: what real masters decided, for the core to repeat
	@MW_BIN=$(abspath $(BUILD))/bin PYTHONPATH=pytests $(PYTHON) -m masterwork.traces
.PHONY: traces

RELEASE := BUILD=$(BUILD)/release OPT="-O3 -flto=$(JOBS)" -j$(JOBS)
release: ## build as it is installed and measured, optimised as a whole, into build/release
	@$(MAKE) $(RELEASE) all
.PHONY: release

bench: ## measure the engine beside other servers and the floor
	@$(MAKE) deps-check
	@$(MAKE) release
	@MW_BIN=$(abspath $(BUILD))/release/bin $(PYTHON) bench/bench.py $(BENCH)

PREFIX ?= /usr/local
SHARE := $(DESTDIR)$(PREFIX)/share/masterwork
install: ## copy programs to PREFIX/bin, what they need to PREFIX/share/masterwork
	@$(MAKE) $(RELEASE) install-built
install-built: all
	@install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/pytests $(SHARE)/scenarios
	@install $(filter-out %/mw-floor %/mw-handshakes,$(PROGRAM_BINS)) $(DESTDIR)$(PREFIX)/bin
	@install -D $(SHIM) $(DESTDIR)$(PREFIX)/lib/$(notdir $(SHIM))
	@cp -r pytests/masterwork $(SHARE)/pytests/
	@cp -r scenarios/stories scenarios/sweeps scenarios/targets $(SHARE)/scenarios/
	@printf '#!/bin/sh\nMW_BIN=$(PREFIX)/bin MW_RUNS="$${MW_RUNS:-$$PWD/masterwork-runs}" PYTHONPATH="$(PREFIX)/share/masterwork/pytests$${PYTHONPATH:+:$$PYTHONPATH}" exec $(PYTHON) -m masterwork "$$@"\n' > $(DESTDIR)$(PREFIX)/bin/masterwork
	@chmod +x $(DESTDIR)$(PREFIX)/bin/masterwork
	@echo "installed below $(DESTDIR)$(PREFIX)"

clean: ## remove build/
	@rm -rf $(BUILD)
