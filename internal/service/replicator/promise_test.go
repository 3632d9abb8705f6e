package replicator_test

import (
	"testing"

	"parley/internal/service/replicator"
	"parley/internal/service/servicetest"
)

func TestService(t *testing.T) { servicetest.Run(t, replicator.Spec) }
