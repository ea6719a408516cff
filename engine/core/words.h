/* Words of the core's lists, X(SYMBOL, "word", ...): a function from a number to its word, "?" out
 * of range. */
#ifndef ENGINE_CORE_WORDS_H
#define ENGINE_CORE_WORDS_H

#define CORE_WORD(symbol, word, ...) word,

/* CORE_WORDS(adm_state_name, ADM_STATES(CORE_WORD)) */
#define CORE_WORDS(function, ...)                                                                  \
    const char *function(unsigned index)                                                           \
    {                                                                                              \
        static const char *const words[] = {__VA_ARGS__};                                          \
        return index < sizeof(words) / sizeof(words[0]) ? words[index] : "?";                      \
    }

#endif
