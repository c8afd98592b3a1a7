package frames_test

import (
	"testing"

	"github.com/bodokaiser/walve/internal/frames"
)

// TestCounted: frames are counted where a program says, and nowhere before.
func TestCounted(t *testing.T) {
	frames.CountSent()
	frames.CountReceived()
	var n frames.Counts
	frames.Counted = &n
	defer func() { frames.Counted = nil }()
	frames.CountSent()
	frames.CountSent()
	frames.CountReceived()
	if s, r := n.Sent.Load(), n.Received.Load(); s != 2 || r != 1 {
		t.Errorf("%d sent and %d received, want 2 and 1", s, r)
	}
}
