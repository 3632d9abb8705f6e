package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// ErrSealed says that a value cannot be opened: it was damaged, moved to
// another place, or is not a sealed value at all.
var ErrSealed = errors.New("sealed value does not open")

// ErrKey says that a value was sealed with a key that this keyring lacks.
var ErrKey = errors.New("sealed with a key that is not in the keyring")

// KeyID names a key. It is random, so that two keyrings do not use one name
// for different keys.
type KeyID uint32

func (id KeyID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// Keyring holds the keys. It is safe for concurrent use.
type Keyring struct {
	path string // empty: memory only

	mu      sync.RWMutex
	current KeyID
	keys    map[KeyID]*key
	order   []KeyID // oldest first
}

type key struct {
	secret []byte
	gcm    cipher.AEAD
}

// Layout of a sealed value: form (1 byte), key id (4, big endian), nonce (12),
// ciphertext, tag (16). AES-256-GCM with a random nonce is good for 2^32
// values a key.
const (
	form      = 1
	nonceSize = 12
	header    = 1 + 4
	// Overhead is how much longer a sealed value is than the secret in it.
	Overhead = header + nonceSize + 16
)

// New returns a keyring with one fresh key, in memory only.
func New() *Keyring {
	k := &Keyring{keys: map[KeyID]*key{}}
	k.add(fresh())
	return k
}

// Seal encrypts secret for one place, which Open must name again: a sealed
// value copied to another user's row does not open there. The place is not a
// secret and is not stored in the result.
func (k *Keyring) Seal(place string, secret []byte) []byte {
	k.mu.RLock()
	id, gcm := k.current, k.keys[k.current].gcm
	k.mu.RUnlock()
	out := make([]byte, header+nonceSize, len(secret)+Overhead)
	out[0] = form
	binary.BigEndian.PutUint32(out[1:], uint32(id))
	rand.Read(out[header:])
	return gcm.Seal(out, out[header:header+nonceSize], secret, []byte(place))
}

// Open returns the secret that was sealed for place. The error is ErrKey or
// ErrSealed.
func (k *Keyring) Open(place string, sealed []byte) ([]byte, error) {
	id, err := keyOf(sealed)
	if err != nil {
		return nil, err
	}
	k.mu.RLock()
	key, ok := k.keys[id]
	k.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrKey, id)
	}
	secret, err := key.gcm.Open(nil, sealed[header:header+nonceSize], sealed[header+nonceSize:], []byte(place))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// Old says whether sealed uses another key than the current one, so that it
// should be sealed again.
func (k *Keyring) Old(sealed []byte) bool {
	id, err := keyOf(sealed)
	k.mu.RLock()
	defer k.mu.RUnlock()
	return err != nil || id != k.current
}

// Current is the key that Seal uses.
func (k *Keyring) Current() KeyID {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.current
}

func keyOf(sealed []byte) (KeyID, error) {
	if len(sealed) < Overhead || sealed[0] != form {
		return 0, ErrSealed
	}
	return KeyID(binary.BigEndian.Uint32(sealed[1:])), nil
}

func (k *Keyring) add(id KeyID, secret []byte) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err) // only for a wrong length, which every caller checked
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	k.keys[id] = &key{secret, gcm}
	k.order = append(k.order, id)
	k.current = id
}

func fresh() (KeyID, []byte) {
	var b [4 + 32]byte
	rand.Read(b[:])
	return KeyID(binary.BigEndian.Uint32(b[:])), b[4:]
}
