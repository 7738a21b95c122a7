#!/bin/bash
# push; after a rebase that merged generated files, make them anew
/work/h/push.sh | tail -3
