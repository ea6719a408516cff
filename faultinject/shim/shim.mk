# The shim: libmw-fault.so, which is preloaded into other people's servers, and its tests.
#
# It is built as it is used: without sanitizers (it runs below those of the program it is preloaded
# into) and with fault points whatever FAULTS says. Wrappers have names that the compiler knows, so
# nothing may be taken for granted about them (-fno-builtin).

SHIM := $(BUILD)/lib/libmw-fault.so
SHIM_FLAGS := -fPIC -fno-lto -fvisibility=hidden -ftls-model=initial-exec -fno-builtin -Wno-pedantic \
        -UMW_FAULTS -DMW_FAULTS=1
SHIM_OWN := $(filter-out %_test.c,$(wildcard faultinject/shim/*.c))
SHIM_SOURCES := $(SHIM_OWN) faultinject/act.c faultinject/board.c faultinject/decide.c \
        faultinject/place.c faultinject/points.c faultinject/tree.c $(addprefix scenarios/history/,hist.c read.c words.c)
SHIM_OBJECTS := $(patsubst %.c,$(BUILD)/obj/pic/%.o,$(SHIM_SOURCES))
SHIM_TESTS := $(patsubst %.c,$(BUILD)/test/%,$(wildcard faultinject/shim/*_test.c))

all: $(SHIM)
TEST_BINS += $(SHIM_TESTS)

$(BUILD)/obj/pic/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc     $< (shim)"
	@$(CC) $(CPPFLAGS) $(filter-out $(SAN),$(CFLAGS)) $(SHIM_FLAGS) -MMD -MP -c -o $@ $<

$(SHIM): $(SHIM_OBJECTS)
	@mkdir -p $(@D)
	@echo "  link   $@"
	@$(CC) $(filter-out $(SAN),$(LDFLAGS)) -shared -Wl,-z,defs -Wl,-soname,$(@F) -o $@ $^

# A test runs itself again below the shim, which it finds by its own place. Like the shim it is built
# without sanitizers, and so is what it uses.
SHIM_TEST_LIB := $(BUILD)/lib/faultinject-pic.a
SHIM_TEST_SOURCES := $(call members,faultinject) $(call members,scenarios/history)
$(SHIM_TEST_LIB): $(patsubst %.c,$(BUILD)/obj/pic/%.o,$(SHIM_TEST_SOURCES))
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

$(SHIM_TESTS): $(BUILD)/test/%: $(BUILD)/obj/pic/%.o $(SHIM_TEST_LIB) | $(SHIM)
	@mkdir -p $(@D)
	@$(CC) $(filter-out $(SAN),$(LDFLAGS)) -o $@ $< $(SHIM_TEST_LIB) -lpthread -lcmocka

install: shim-install
.PHONY: shim-install
shim-install: $(SHIM)
	@install -d $(DESTDIR)$(PREFIX)/lib
	@install $(SHIM) $(DESTDIR)$(PREFIX)/lib
