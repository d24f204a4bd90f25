#pragma once
// QUERN_API marks what a shared libquern exports; everything else is hidden.

#define QUERN_API __attribute__((visibility("default")))
