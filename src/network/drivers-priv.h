/* The drivers of this folder, one file each. */
#pragma once

#include "network/network.h"

extern const struct network_driver network_none, network_host, network_container, network_ns;
