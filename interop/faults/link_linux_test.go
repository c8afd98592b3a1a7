package faults_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// hostAddress in the environment makes a process a host of its own on a link,
// with that address.
const hostAddress = "WALVE_FAULTS_HOST"

// device is the name of a host's end of the link.
const device = "walve0"

// beHost makes the end of a link in the network namespace of this process, and
// hands it to the test, which carries its packets.
func beHost() error {
	address := os.Getenv(hostAddress)
	if address == "" {
		return nil
	}
	tun, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(tun)
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], device)
	request.flags = syscall.IFF_TUN | syscall.IFF_NO_PI
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(tun), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	for _, args := range [][]string{{"addr", "add", address, "dev", device}, {"link", "set", device, "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	const test = 3 // the descriptor
	defer syscall.Close(test)
	return syscall.Sendmsg(test, []byte{0}, syscall.UnixRights(tun), nil, 0)
}

// startHost starts a role in a network namespace of its own, and returns the end
// of its link. Where that is not permitted it skips the test.
func startHost(t *testing.T, address, name string, args ...string) (*process, *os.File) {
	t.Helper()
	need(t, "ip")
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	mine, theirs := os.NewFile(uintptr(pair[0]), "host"), os.NewFile(uintptr(pair[1]), "test")
	defer mine.Close()
	cmd := selfAs(t, name, args...)
	cmd.Env = append(cmd.Env, hostAddress+"="+address)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	p, err := tryCommand(t, cmd)
	theirs.Close()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("network namespaces need root")
	}
	must(t, err)
	rights := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(pair[0], make([]byte, 1), rights, 0)
	must(t, err)
	messages, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		p.cmd.Wait()
		t.Skipf("no TUN device: %v %s", err, &p.stderr)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	must(t, err)
	must(t, syscall.SetNonblock(fds[0], true))
	tun := os.NewFile(uintptr(fds[0]), "tun")
	t.Cleanup(func() { tun.Close() })
	return p, tun
}

// setMTU changes that of a host's end.
func (p *process) setMTU(t testing.TB, mtu int) {
	t.Helper()
	out, err := exec.Command("nsenter", "-n", "-t", fmt.Sprint(p.cmd.Process.Pid), "ip", "link", "set", device, "mtu", fmt.Sprint(mtu)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A condition is that of a link, in the terms of netem, which not every kernel
// has: this one is ours.
type condition struct {
	loss, duplicate, reorder float64       // probabilities
	delay                    time.Duration // of each direction; packets that are reordered have none
	rate                     float64       // bytes a second; 0: any
}

// A packet is due at the other end.
type packet struct {
	due  time.Time
	data []byte
}

// queue is how many packets a direction holds; more are lost.
const queue = 1000

// carryPackets carries packets from one host to another until from is closed.
// Once cut is set all are lost.
func (c condition) carryPackets(to, from *os.File, cut *atomic.Bool, lost *atomic.Int64) {
	var sending sync.WaitGroup
	waiting := make(chan packet, queue)
	sending.Go(func() {
		for p := range waiting {
			time.Sleep(time.Until(p.due)) // the delay of the link
			to.Write(p.data)
		}
	})
	defer sending.Wait()
	defer close(waiting)
	buf := make([]byte, 64<<10)
	var free time.Time // when the link is
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if cut.Load() || rand.Float64() < c.loss {
			lost.Add(1)
			continue
		}
		data := append([]byte(nil), buf[:n]...)
		if rand.Float64() < c.reorder {
			to.Write(data)
			continue
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if c.rate > 0 {
			free = free.Add(time.Duration(float64(n) / c.rate * float64(time.Second)))
		}
		for range 1 + int(rand.Float64()+c.duplicate) {
			select {
			case waiting <- packet{free.Add(c.delay), data}:
			default:
				lost.Add(1)
			}
		}
	}
}

// A network is two hosts, a server's and a client's, and the link between them.
type network struct {
	server, client *process
	cut            atomic.Bool
	lost           atomic.Int64
}

func newNetwork(t *testing.T, scheme string, c condition, keepAlive time.Duration, x transfer) *network {
	t.Helper()
	var n network
	server, one := startHost(t, "10.99.0.1/24", "serve", scheme, keepAlive.String(), "10.99.0.1:0")
	n.server = server
	_, port, err := net.SplitHostPort(server.line(t, "listening"))
	must(t, err)
	client, other := startHost(t, "10.99.0.2/24", "dial", scheme+"://10.99.0.1:"+port+"/",
		keepAlive.String(), fmt.Sprint(count), fmt.Sprint(x.size), x.limit.String())
	n.client = client
	var carrying sync.WaitGroup
	carrying.Go(func() { c.carryPackets(other, one, &n.cut, &n.lost) })
	carrying.Go(func() { c.carryPackets(one, other, &n.cut, &n.lost) })
	t.Cleanup(func() { one.Close(); other.Close(); carrying.Wait() })
	return &n
}

// TestLink: what TCP mends, walve does not notice.
func TestLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]condition{
		"loss 5 %":         {loss: 0.05, delay: time.Millisecond},
		"reordering 25 %":  {reorder: 0.25, delay: 5 * time.Millisecond},
		"duplication 10 %": {duplicate: 0.1},
		"delay 200 ms":     {delay: 200 * time.Millisecond},
		"rate 8 Mbit/s":    {rate: 1e6, delay: 10 * time.Millisecond},
		"all":              {loss: 0.02, reorder: 0.1, duplicate: 0.02, delay: 20 * time.Millisecond, rate: 4e6},
		"MTU":              {delay: 5 * time.Millisecond, rate: 3e5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, scheme string) {
				x := transfer{size: either[int64](100_000, 2<<20), limit: timeout * 2}
				n := newNetwork(t, scheme, c, timeout, x)
				if name == "MTU" {
					n.client.line(t, "connected")
					for i := range 6 {
						p := []*process{n.server, n.client}[i%2]
						p.setMTU(t, []int{600, 1500, 9000}[i%3])
					}
				}
				outcomes := n.client.outcomes(t)
				if check(t, "the client", outcomes, true) != count {
					t.Errorf("%d transfers", len(outcomes))
				}
				check(t, "the server", n.server.outcomes(t), true)
				t.Logf("%d packets lost", n.lost.Load())
			})
		})
	}
}

// TestLinkCut: a link that takes no more packets is found by KeepAlive on both
// sides, long before TCP gives up.
func TestLinkCut(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, scheme string) {
		n := newNetwork(t, scheme, condition{delay: time.Millisecond}, keepAlive, endless)
		n.client.line(t, "connected")
		n.cut.Store(true)
		for side, p := range map[string]*process{"the client": n.client, "the server": n.server} {
			outcomes := p.outcomes(t)
			allLost(t, side, outcomes)
			for _, o := range outcomes {
				if !strings.Contains(o.Err, "does not answer") {
					t.Errorf("%s: not KeepAlive's error: %+v", side, o)
				}
			}
		}
	})
}
