/* Any bytes as a configuration: no crash, and what is accepted survives a round trip. Row B49. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text of s, parsed again, must give the same text; validation must agree with the first one. */
static void check_round_trip(const struct spec *s, int valid)
{
    struct err e = ERR_INIT;
    scoped_json json_t *doc = spec_emit(s);
    scoped_free char *text = json_text(doc, false);
    scoped_spec struct spec again = {0};
    if (spec_parse_unchecked(text, strlen(text), "emitted", &again, &e) < 0)
        abort();
    scoped_json json_t *doc_again = spec_emit(&again);
    scoped_free char *text_again = json_text(doc_again, false);
    if (strcmp(text, text_again) != 0 || !json_equal(doc, doc_again))
        abort();
    if ((spec_validate(&again, &e) == 0) != valid)
        abort();
    /* pretty and compact text mean the same */
    scoped_free char *pretty = json_text(doc, true);
    scoped_json json_t *back = json_parse(pretty, strlen(pretty), SIZE_MAX, "pretty", &e);
    if (!back || !json_equal(back, doc))
        abort();
}

/* As a runtime reads it: nothing that later code relies on is missing. */
static void check_whole(const char *text, size_t size)
{
    struct err e = ERR_INIT;
    scoped_spec struct spec s = {0};
    if (spec_parse(text, size, "input", &s, &e) < 0)
        return;
    if (!s.process || !s.root || !s.linux_ || !s.process->cwd ||
        (!s.no_process && (!s.process->args || !s.process->args[0])))
        abort();
    for (size_t i = 0; i < s.linux_->n_namespaces; i++)
        if (s.linux_->namespaces[i].path && !*s.linux_->namespaces[i].path)
            abort();
    scoped_json json_t *doc = spec_emit(&s);
    scoped_free char *emitted = json_text(doc, false);
    scoped_spec struct spec again = {0};
    if (spec_parse(emitted, strlen(emitted), "emitted", &again, &e) < 0 ||
        again.no_process != s.no_process)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    scoped_spec struct spec s = {0};
    log_max = LOG_LEVEL_ERROR; /* warnings about what is tolerated */
    if (spec_parse_unchecked((const char *)data, size, "input", &s, &e) < 0) {
        if (!e.errnum || !e.msg[0])
            abort();
        return 0;
    }
    check_whole((const char *)data, size);
    int valid = spec_validate(&s, &e) == 0;
    if (!valid && !e.msg[0])
        abort();
    check_round_trip(&s, valid);
    return 0;
}
