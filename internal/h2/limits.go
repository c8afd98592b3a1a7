package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// RFC 9113, 10.5: "An endpoint that doesn't monitor use of these features
// exposes itself to a risk of denial of service. Implementations SHOULD track
// the use of these features and set limits on their use." The limits are per
// ratePeriod; no server in its right mind comes near.
const (
	ratePeriod   = 10 * time.Second
	maxSettings  = 100
	maxChatter   = 10000 // PING, PRIORITY, unknown types, empty DATA, frames on closed streams
	maxUpdates   = 10000 // WINDOW_UPDATE, over two per DATA frame sent and one per updateSize of its payload
	updateSize   = 256   // net/http sends two for each Read of 4 KiB
	maxContinued = 64    // CONTINUATION frames of one header
	maxInterim   = 16    // interim responses of one stream
)

// A rate counts the frames that cost the peer nothing and mean nothing.
type rate struct {
	until                      time.Time
	settings, chatter, updates int
}

func (r *rate) sent(n int) { r.updates -= 2 + n/updateSize }

// over counts a frame in counter and reports whether there were too many. The
// clock is only looked at when there are.
func (r *rate) over(counter *int, limit int) bool {
	*counter++
	if *counter <= limit {
		return false
	}
	now := time.Now()
	if now.Before(r.until) {
		return true
	}
	*r = rate{until: now.Add(ratePeriod)}
	return false
}

// chatterLocked counts a frame that brings nothing.
func (c *Conn) chatterLocked() error {
	if c.rate.over(&c.rate.chatter, maxChatter) {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many frames that mean nothing")
	}
	return nil
}

// ackLocked counts an answer that is about to be queued.
func (c *Conn) ackLocked() error {
	if c.acks++; c.acks > maxAcks {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many frames that ask for an answer")
	}
	return nil
}
