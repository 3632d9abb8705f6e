# Short names for the commands of the README. ./demo and ./test/all need no make.

demo:      ## a complete server with sample users, here and now
	./demo

build:     ## the one binary, in bin/
	CGO_ENABLED=0 go build -o bin/parley ./cmd/parley

test:      ## everything that continuous integration runs
	./test/all

load:      ## the full SIPp load: 20,000 registrations and messages, 10,000 calls, on UDP, TCP and TLS
	PARLEY_LOAD=full go test -count 1 -timeout 60m -v ./test/load

fuzz:      ## every fuzz target for ten minutes
	FUZZ=10m ./test/all fuzz

bench-sip: ## the signalling core beside Kamailio, into bench/results
	go run ./bench/sipbench -results bench/results

bench-presence: ## presence of a thousand signed-in users, that of standard ones beside Kamailio, into bench/results
	go run ./bench/presencebench -subjects kamailio,parley -results bench/results

bench-media: ## media relayed and converted beside rtpengine, into bench/results, in three minutes
	go run -tags opus ./bench/mediabench -results bench/results

bench-turn: ## the media relay beside coturn, into bench/results, in two minutes
	go run ./bench/turnbench -results bench/results

bench-plan: ## the whole plan of 80,000 users
	go test -run '^$$' -bench Large ./internal/plan/render

help:
	@grep -E '^[a-z-]+: +##' $(MAKEFILE_LIST) | sed 's/: *## /\t/'

.PHONY: demo build test load fuzz bench-sip bench-presence bench-media bench-turn bench-plan help
