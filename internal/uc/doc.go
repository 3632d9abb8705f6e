// Package uc is the vocabulary the rest of Parley shares: who somebody is and how far a peer is trusted.
//
// It holds values only. Nothing here opens a socket, reads a clock or knows SIP's grammar; package sip turns
// its URIs into these values.
package uc
