/* CHECK of the core: our own mistake ends the process, in release too, without a word (the core
 * writes nothing; the driver's trace and the core file tell the rest). */
#ifndef ENGINE_CORE_CHECK_H
#define ENGINE_CORE_CHECK_H

#include <stdlib.h>

#define CORE_CHECK(condition) (__builtin_expect(!(condition), 0) ? abort() : (void)0)

#endif
