/* suggest - the word that was probably meant. */
#include "base/opt.h"

#define WORD_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment: insertions, deletions, replacements, swaps of neighbours. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1], n = strlen(b);
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= n; j++)
        last[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        now[0] = i;
        for (size_t j = 1; j <= n; j++) {
            now[j] = min3(now[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        size_t *reuse = before;
        before = last;
        last = now;
        now = reuse;
    }
    return last[n];
}

const char *opt_suggest(const char *word, const char *const *words)
{
    size_t n = strlen(word);
    if (n < 2 || n > WORD_MAX)
        return NULL;
    /* A third of the letters may be wrong, but never more than two. */
    size_t limit = (n + 1) / 3 > 2 ? 2 : (n + 1) / 3;
    const char *best = NULL, *longer = NULL;
    for (size_t best_distance = limit + 1; *words; words++) {
        if (strlen(*words) > WORD_MAX)
            continue;
        size_t d = distance(word, *words);
        if (d > 0 && d < best_distance) {
            best = *words;
            best_distance = d;
        }
        if (!longer && n >= 3 && strncmp(*words, word, n) == 0)
            longer = *words;
    }
    return best ? best : longer;
}
