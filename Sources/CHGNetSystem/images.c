#include "CHGNetSystem.h"
