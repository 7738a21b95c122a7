/* properties - ["NAME", "SIGNATURE", VALUE] as the (sv) of a D-Bus message. */
#include <errno.h>
#include <string.h>

#include "helpers/scope/scope.h"

/* Integers and booleans, by the size that their type has. */
static int append_integer(sd_bus_message *m, char type, const json_t *value)
{
    union {
        uint8_t y;
        int16_t n;
        uint16_t q;
        int32_t i;
        uint32_t u;
        int64_t x;
        uint64_t t;
    } v;
    uint64_t u = 0;
    int64_t s = json_integer_value(value);
    if (type == 't' && !json_to_u64(value, &u))
        return -EINVAL;
    switch (type) {
    case 'y':
        v.y = (uint8_t)s;
        break;
    case 'n':
        v.n = (int16_t)s;
        break;
    case 'q':
        v.q = (uint16_t)s;
        break;
    case 'i':
        v.i = (int32_t)s;
        break;
    case 'u':
        v.u = (uint32_t)s;
        break;
    case 'x':
        v.x = s;
        break;
    case 't':
        v.t = u;
        break;
    default:
        return -EINVAL;
    }
    return sd_bus_message_append_basic(m, type, &v);
}

static int append_value(sd_bus_message *m, char type, const json_t *value)
{
    int truth = json_is_true(value);
    double real = json_real_value(value);
    switch (type) {
    case 's':
        return json_is_string(value) ? sd_bus_message_append_basic(m, 's', json_string_value(value))
                                     : -EINVAL;
    case 'b':
        return json_is_boolean(value) ? sd_bus_message_append_basic(m, 'b', &truth) : -EINVAL;
    case 'd':
        return json_is_real(value) ? sd_bus_message_append_basic(m, 'd', &real) : -EINVAL;
    default:
        return append_integer(m, type, value);
    }
}

static int append_list(sd_bus_message *m, const char *type, const json_t *list)
{
    size_t i;
    json_t *one;
    int r = sd_bus_message_open_container(m, 'a', type);
    json_array_foreach((json_t *)list, i, one)
    {
        if (r >= 0)
            r = append_value(m, type[0], one);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_one(sd_bus_message *m, const char *name, const char *sig, const json_t *value)
{
    int r = sd_bus_message_open_container(m, 'r', "sv");
    if (r >= 0)
        r = sd_bus_message_append_basic(m, 's', name);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', sig);
    if (r >= 0)
        r = sig[0] == 'a' ? append_list(m, sig + 1, value) : append_value(m, sig[0], value);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

int properties_append(sd_bus_message *m, const json_t *properties, struct err *e)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)properties, i, one)
    {
        const char *name = json_string_value(json_array_get(one, 0));
        const char *sig = json_string_value(json_array_get(one, 1));
        int r = name && sig ? append_one(m, name, sig, json_array_get(one, 2)) : -EINVAL;
        if (r < 0)
            return err_msg(e, EINVAL, "property %s of type %s: %s", name ? name : "?",
                           sig ? sig : "?", strerror(-r));
    }
    return 0;
}
