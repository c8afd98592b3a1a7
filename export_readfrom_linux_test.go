package walve

// FreeRelayPipes returns how many pipes wait to be used again.
func FreeRelayPipes() int {
	relayPipes.Lock()
	defer relayPipes.Unlock()
	return len(relayPipes.free)
}

// DropRelayPipes closes them.
func DropRelayPipes() {
	relayPipes.Lock()
	defer relayPipes.Unlock()
	for _, p := range relayPipes.free {
		p.close()
	}
	relayPipes.free = nil
}

// UseRelayPipes uses n pipes at once, and returns how many of them wait to be
// used again, and how many may.
func UseRelayPipes(n int) (kept, limit int, err error) {
	pipes := make([]relayPipe, n)
	for i := range pipes {
		if pipes[i], err = getRelayPipe(); err != nil {
			return 0, 0, err
		}
	}
	for _, p := range pipes {
		p.put()
	}
	return FreeRelayPipes(), maxFreePipes, nil
}
