package walve

// Compression says how a Conn compresses its messages: by the extension
// permessage-deflate, RFC 7692, if the peer agrees to it. With a peer that does
// not, messages go as they are.
//
// The zero value is the best trade-off for messages of JSON and the like. It
// makes those of 1 KiB 3.7 times smaller in 12 us and reads them in 3 us, and
// has a Conn hold up to 36 KiB: the last 4 KiB of what it has sent and, once as
// much has come, the last 32 KiB of what it has received. Without takeover a
// Conn holds nothing between messages, and those of 1 KiB become 2.5 times
// smaller in 6 us. What is compressed or encrypted already does not get smaller
// and is better sent by a Conn without compression.
//
// Compressing secrets together with what an attacker can choose gives the
// secrets away by their length (RFC 7692, 8: CRIME).
type Compression struct {
	// Level is from 1, the fastest, to 9, the smallest; 0 means 1. Level 5
	// makes messages of 1 KiB 4.1 times smaller, in 19 us. It has no effect
	// if the peer has asked for a window under 32 KiB.
	Level int

	// Threshold is the length in bytes under which messages are sent as they
	// are; 0 means 256, less than 0 that all are compressed. It counts for
	// messages whose length is known when they begin.
	Threshold int

	// NoSendTakeover has each message that this side sends compressed by
	// itself: server_no_context_takeover on a server, or client_ on a client.
	NoSendTakeover bool

	// NoReceiveTakeover asks the peer to compress each message by itself. A
	// server that does not know how agrees to no compression then.
	NoReceiveTakeover bool
}

const defaultThreshold = 256

// A deflateContext is what both ends have agreed on for one direction.
type deflateContext struct {
	bits     int  // of the window: 8 to 15
	takeover bool // from one message to the next
}

// A deflateAgreement is what both ends have agreed on, and what this one has
// chosen.
type deflateAgreement struct {
	send, receive    deflateContext
	level, threshold int
}

// agreement returns c's choices, with its zero values resolved.
func (c *Compression) agreement() *deflateAgreement {
	a := &deflateAgreement{
		send:      deflateContext{bits: 15, takeover: !c.NoSendTakeover},
		receive:   deflateContext{bits: 15, takeover: !c.NoReceiveTakeover},
		level:     min(max(c.Level, 1), 9),
		threshold: max(c.Threshold, 0),
	}
	if c.Threshold == 0 {
		a.threshold = defaultThreshold
	}
	return a
}
