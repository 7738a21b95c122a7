/* cppcheck - libraries' macros that look like statements; their headers are not read. For
 * tests/run-cppcheck only. */
#define json_array_foreach(array, index, value) \
    for (index = 0; (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value) \
    for (key = ""; (value = json_object_get(object, key));)
