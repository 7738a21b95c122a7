/* fuzz-egress - rules, names, addresses and frames as they come. */
#include <stdlib.h>
#include <string.h>

#include "net/egress.h"
#include "net/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_frame(const uint8_t *data, size_t size)
{
    static const struct net_addr gateways[] = {{4, {10, 0, 2, 2}}, {6, {0xfd}}};
    uint8_t out[FRAME_ANSWER_MAX];
    struct frame f, back;
    if (frame_parse(data, size, &f) < 0)
        return;
    for (int i = 0; i < 2; i++) {
        size_t n = frame_prohibit(&f, &gateways[i], out);
        if (n > sizeof(out) || (n > 0 && frame_parse(out, n, &back) < 0))
            abort();
    }
    if (f.payload) {
        size_t n = frame_answer(&f, f.payload, f.payload_size, out);
        if (n > sizeof(out) || (n > 0 && frame_parse(out, n, &back) < 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    struct egress *p = egress_new();
    size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;

    memcpy(text, data, n);
    text[n] = '\0';
    if (egress_add(p, text, NULL) == 0) {
        struct net_addr a = {4, {192, 0, 2, 1}};
        const char *name = strlen(text) > 6 ? text + 6 : text;
        egress_learn(p, name, &a, 60, 0);
        if (egress_learned(p) > 0 && !egress_allows_name(p, name))
            abort();
        (void)egress_allows(p, &a, 6, 443, 1);
    }
    egress_free(p);
    try_frame(data, size);
    return 0;
}
