/* Sealing under a deployment's key: the hooks that meta/plan/codec_seal.h asks for, over net/crypto. */
#pragma once
#include "meta/plan/codec_seal.h"
#include "net/crypto.h"

/* Hooks that borrow the 32 bytes of `key`; valid while they are. */
struct tr_seal_hooks tr_seal_key_hooks(const uint8_t *key);
