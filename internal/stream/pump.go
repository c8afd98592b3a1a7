package stream

// pumpStream is a Stream over a tls.Conn that has no Transport below: one that
// was hijacked from an https server, or accepted from a tls.Listener. Write
// copies into the queue, and its deadline governs the waiting for room there;
// crypto/tls knows of none.
//
// What crypto/tls writes from inside Read, the answer to a KeyUpdate, it
// writes directly: with a peer that asks for one and does not read, Read waits.
type pumpStream struct {
	tlsStream
}

func (s *pumpStream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if err := s.writableLocked(); err != nil {
			return n, err
		}
		k := s.queue.put(p[n:])
		n += k
		if k > 0 {
			s.startLocked()
		} else {
			s.waitLocked(s.deadline)
		}
	}
	return n, nil
}
