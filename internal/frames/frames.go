// Package frames counts the frames of all of a process's Conns, for a program
// that shows the numbers and for nobody else.
package frames

import "sync/atomic"

// Counted is where frames are counted; nil, as it is unless a program sets it
// before there is a Conn: nowhere.
var Counted *Counts

// Counts are numbers of frames, control frames included.
type Counts struct {
	Sent     atomic.Int64 // begun, or ready to leave
	Received atomic.Int64 // whose header was read and holds
}

// CountSent counts a frame that leaves.
func CountSent() {
	if n := Counted; n != nil {
		n.Sent.Add(1)
	}
}

// CountReceived counts a frame that has come in.
func CountReceived() {
	if n := Counted; n != nil {
		n.Received.Add(1)
	}
}
