# Ananas: everything is built under build/. `make help` lists the targets.

VERSION  := 0.1.0
BUILD    ?= release
REVISION := $(shell git describe --always --dirty --abbrev=10 2>/dev/null || echo none)
PREFIX   ?= /usr/local
KAFKA_PORT ?= 9092
DEMO_ARGS  ?=

# One source file or script more needs no edit here.
SOURCES := $(sort $(wildcard engine/*.c))
SCRIPTS := $(sort $(wildcard scripts/*.lua)) $(sort $(wildcard scripts/*.html))

PACKAGES := rdkafka luajit libmicrohttpd zlib libzstd
STD      := -std=c11 -D_GNU_SOURCE
WARNINGS := -Wall -Wextra -Wconversion -Werror
OPTIMISE := -O2 -g

# BUILD=asan|tsan|clang put their objects beside the usual ones, never among them.
ifeq ($(BUILD),release)
  OUT := build
else
  OUT := build/$(BUILD)
endif
# Under a sanitizer the compiler sees less and guesses more: its guesses are left to the usual build.
ifneq ($(filter asan tsan,$(BUILD)),)
  OPTIMISE := -O1 -g
  WARNINGS += -Wno-format-truncation -Wno-maybe-uninitialized
endif
ifeq ($(BUILD),asan)
  SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
  PRELOAD  := $(shell $(CC) -print-file-name=libasan.so) $(shell $(CC) -print-file-name=libubsan.so)
endif
ifeq ($(BUILD),tsan)
  SANITIZE := -fsanitize=thread -fno-omit-frame-pointer
  # The thread sanitizer does not live in an interpreter that was built without it: only the program is looked at.
  SPECS    ?= tests/pipeline
  THREADS  := $(OUT)/tsan_threads.o
endif
ifeq ($(BUILD),clang)
  CC := clang
endif

BINARY  := $(OUT)/ananas
LIBRARY := $(OUT)/libananas.so
OBJECTS := $(SOURCES:engine/%.c=$(OUT)/%.o) $(OUT)/scripts.o $(THREADS)
SHARED  := $(filter-out $(OUT)/main.o $(THREADS),$(OBJECTS))

# The program with failpoints (engine/failpoint.h): the same objects, but for those that have some.
FAULTY  := $(OUT)/faults/ananas
FAULTED := $(addprefix $(OUT)/faults/,$(notdir $(patsubst %.c,%.o,$(shell grep -lw FAILPOINT engine/*.c))))

# Expanded only when something is compiled or linked: `make install-packages` comes before it.
PACKAGE_CFLAGS = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PACKAGES)))
PACKAGE_LIBS   = $(shell pkg-config --libs $(PACKAGES))

# Objects serve the program and the library alike, hence PIC; calls within the engine still bind at link time.
COMPILE = $(CC) $(STD) $(OPTIMISE) $(WARNINGS) $(SANITIZE) -fPIC -fno-semantic-interposition -pthread \
          -Iengine -I$(OUT) $(PACKAGE_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK    = $(CC) $(OPTIMISE) $(SANITIZE) -pthread $(LDFLAGS)
LIBS    = $(PACKAGE_LIBS) -lm -ldl

# make V=1 shows the commands.
Q := $(if $(V),,@)

ifeq ($(filter -j%,$(MAKEFLAGS)),)
  MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all lib demo test test-faults test-page test-package bench bench-patterns fuzz lint format asan tsan clang kafka install uninstall deb clean help FORCE

## all: build the program build/ananas and the library the unit specs drive
all: $(BINARY) lib
## lib: build build/libananas.so alone
lib: $(LIBRARY)

$(BINARY): $(OBJECTS) $(OUT)/inputs
	@echo "link  $@"
	$(Q)$(LINK) -rdynamic -o $@ $(OBJECTS) $(LIBS)

$(LIBRARY): $(SHARED) $(OUT)/inputs
	@echo "link  $@"
	$(Q)$(LINK) -shared -Wl,-Bsymbolic -o $@ $(SHARED) $(LIBS)

$(OUT)/%.o: engine/%.c Makefile | $(OUT)/version.h $(OUT)/scripts.h build/.packages-build
	@echo "cc    $<"
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(OUT)/faults/%.o: engine/%.c Makefile | $(OUT)/version.h $(OUT)/scripts.h build/.packages-build
	@mkdir -p $(OUT)/faults
	@echo "cc    $< (failpoints)"
	$(Q)$(COMPILE) -DANANAS_FAILPOINTS -MMD -MP -c -o $@ $<

$(FAULTY): $(OBJECTS) $(FAULTED) $(OUT)/inputs
	@echo "link  $@"
	$(Q)$(LINK) -rdynamic -o $@ $(filter-out $(FAULTED:$(OUT)/faults/%=$(OUT)/%),$(OBJECTS)) $(FAULTED) $(LIBS)

$(OUT)/tsan_threads.o: tests/support/tsan_threads.c Makefile
	@echo "cc    $<"
	$(Q)$(COMPILE) -c -o $@ $<

$(OUT)/scripts.o: $(OUT)/scripts.c $(OUT)/scripts.h
	@echo "cc    $<"
	$(Q)$(COMPILE) -c -o $@ $<

$(OUT)/scripts.c $(OUT)/scripts.h &: $(SCRIPTS) tests/support/embed.lua $(OUT)/inputs | build/.packages-build
	@echo "embed scripts/"
	$(Q)luajit tests/support/embed.lua $(OUT)/scripts.c $(OUT)/scripts.h $(SCRIPTS)

# Both are rewritten only when their text changes, so that they do not rebuild the world.
$(OUT)/inputs: FORCE
	@mkdir -p $(OUT)
	@echo '$(SOURCES) $(SCRIPTS)' | cmp -s - $@ || echo '$(SOURCES) $(SCRIPTS)' > $@
$(OUT)/version.h: FORCE
	@mkdir -p $(OUT)
	@printf '#define ANANAS_VERSION "%s"\n#define ANANAS_REVISION "%s"\n#define ANANAS_DATA "%s"\n' '$(VERSION)' '$(REVISION)' '$(PREFIX)/share/ananas' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# Debian packages, by purpose; a stamp each makes the second time free.
build/.packages-%: .ci/install
	@mkdir -p build
	@.ci/install $*
	@touch $@

build/promtool/promtool: .ci/promtool
	@.ci/promtool

build/kafka/classpath: tests/kafka/pom.xml build/.packages-test
	@.ci/kafka-jars

## demo: build, then watch the shipped rules on a live stream (DEMO_ARGS="--orders 200000")
demo: $(BINARY)
	@$(BINARY) demo $(DEMO_ARGS)

## test: build and run every spec (SPECS="tests/engine" or one file for less, JOBS=n)
test: $(BINARY) $(FAULTY) lib build/.packages-test build/kafka/classpath build/promtool/promtool
	@ANANAS_OUT=$(OUT) luajit tests/support/run.lua $(SPECS)

## test-faults: the long crash and rebalance runs on a real broker (SEED=n, SPECS for less)
test-faults: $(BINARY) $(FAULTY) lib build/.packages-test build/kafka/classpath
	@ANANAS_OUT=$(OUT) ANANAS_FAULTS=long luajit tests/support/run.lua $(or $(SPECS),tests/faults)

## test-page: the live page in a real browser
test-page: $(BINARY) lib build/.packages-test build/.packages-page build/kafka/classpath
	@ANANAS_OUT=$(OUT) luajit tests/support/run.lua tests/page

## test-package: the Debian package in a clean root (as root; debootstrap, a mirror)
test-package: $(BINARY) build/.packages-test build/.packages-deb build/.packages-package
	@ANANAS_OUT=$(OUT) luajit tests/support/run.lua tests/package

## bench: the measurements of tests/bench/README.md, as one table
bench: $(BINARY) lib build/.packages-test build/.packages-bench build/kafka/classpath
	@ANANAS_OUT=$(OUT) tests/bench/run $(BENCH)

## bench-patterns: rows per second and memory of row patterns (ROWS, default a million)
bench-patterns: $(BINARY)
	@ANANAS_OUT=$(OUT) luajit tests/bench/patterns.lua $(ROWS)

## fuzz: the fuzzers of tests/fuzz, SECONDS each (default 60)
fuzz: lib build/.packages-lint
	@tests/fuzz/run $(SECONDS)

## lint: formatting, layers, words, Lua and static checks
lint: build/.packages-lint $(OUT)/version.h $(OUT)/scripts.h
	@.ci/lint $(COMPILE)

## format: put the C sources into the house format
format: build/.packages-lint
	clang-format -i engine/*.c engine/*.h

## asan: build with ASan and UBSan and run the specs on it
## tsan: the same with the thread sanitizer
asan tsan:
	@$(MAKE) BUILD=$@ sanitized
.PHONY: sanitized
sanitized: $(BINARY) $(FAULTY) lib build/.packages-test build/kafka/classpath
	@ANANAS_OUT=$(OUT) ANANAS_PRELOAD="$(PRELOAD)" luajit tests/support/run.lua $(SPECS)

## clang: build with clang as well
clang:
	@$(MAKE) BUILD=clang all

## kafka: run the broker of the tests in the foreground (KAFKA_PORT=9092)
kafka: build/.packages-test build/kafka/classpath
	@luajit tests/support/kafka_run.lua $(KAFKA_PORT)

## install: put the program, the shipped rules and the manual under PREFIX (default /usr/local; DESTDIR is honoured)
install: $(BINARY)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/ananas
	install -d $(DESTDIR)$(PREFIX)/share/ananas/rules
	install -m 644 $(wildcard rules/*.lua rules/*.md) $(DESTDIR)$(PREFIX)/share/ananas/rules/
	install -d $(DESTDIR)$(PREFIX)/share/ananas/rules/cookbook
	install -m 644 $(wildcard rules/cookbook/*.lua) $(DESTDIR)$(PREFIX)/share/ananas/rules/cookbook/
	@test ! -x packaging/install || packaging/install '$(DESTDIR)' '$(PREFIX)' '$(BINARY)'
## uninstall: remove what install put there
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ananas
	rm -rf $(DESTDIR)$(PREFIX)/share/ananas
	@test ! -x packaging/install || packaging/install --remove '$(DESTDIR)' '$(PREFIX)'

## deb: the Debian package, in build/deb
deb: build/.packages-deb
	@$(MAKE) PREFIX=/usr $(BINARY)
	@packaging/deb '$(VERSION)' '$(REVISION)' '$(BINARY)'

## clean: remove everything that was built
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## \([a-z-]*\): \(.*\)/\1\t\2/p' Makefile | awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

-include $(SOURCES:engine/%.c=$(OUT)/%.d) $(FAULTED:%.o=%.d)
