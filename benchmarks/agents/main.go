// Agents for benchmarks: each with its own key and certificate, its own connection, and the requests of an agent at rest.
//
// It is in Go so that what is measured is the server: ten thousand clients in Python would take longer to read an answer than
// the server to write it. It prints one line for each thing that happens, with nanoseconds since 1970:
//
//	B <agent> <time> <receipt>    a report with this receipt was acknowledged after (re)connecting
//	H <agent> <time> <version>    news arrived whose timestamp has this version
//	P <time> <nanoseconds>        a probe asked for a file, and had it after so long
//	W <sent> <received>           bytes on the wire of one exchange at rest (mode rest)
//	R <requests> <nanoseconds>    so many reports were acknowledged in that time (mode beats)
//	L <nanoseconds>               one report took so long
//	S <status>                    a report of a storm was answered (mode storm)
//	E <agent> <words>             something failed, and is tried again
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type identity struct{ Name, Chain, Key string }

type hosts struct {
	Root   string
	Agents []identity
}

// counted counts what goes over the wire, TLS included.
type counted struct {
	net.Conn
	sent, received atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

type agent struct {
	number   int
	name     string
	config   *tls.Config
	key      *ecdsa.PrivateKey
	print    string // the fingerprint of its certificate
	sequence int
	receipt  int
	version  int
	wire     *counted
	tls      *tls.Conn
	reader   *bufio.Reader
}

var (
	address  = flag.String("address", "", "host:port")
	file     = flag.String("hosts", "", "JSON of root and agents")
	mode     = flag.String("mode", "agents", "agents, probes, beats, gentle, storm or rest")
	path     = flag.String("path", "/v1/reports", "of beats")
	each     = flag.Int("each", 25, "beats of each agent")
	jitter   = flag.Float64("jitter", 60, "seconds over which agents spread coming back")
	probes   = flag.Int("probes", 0, "agents that ask for a file ten times a second in mode probes, and do nothing in mode agents")
	wait     = flag.Int("wait", 55, "seconds of a watch")
	dialling = make(chan struct{}, 200)
	output   = make(chan string, 1<<16)
)

func main() {
	flag.Parse()
	agents := read(*file)
	done := make(chan struct{})
	go func() {
		writer := bufio.NewWriter(os.Stdout)
		ticks := time.NewTicker(50 * time.Millisecond) // whoever reads is not to be woken for each line: it shares the cores
		for open := true; open; {
			select {
			case <-ticks.C:
				writer.Flush()
			case line, more := <-output:
				writer.WriteString(line)
				open = more
			}
		}
		writer.Flush()
		close(done)
	}()
	switch *mode {
	case "agents":
		for _, one := range agents[*probes:] {
			go one.live()
		}
		io.Copy(io.Discard, os.Stdin) // until whoever started us is gone
		return
	case "probes":
		for number, one := range agents[:*probes] {
			go one.probe(time.Duration(number) * 100 * time.Millisecond / time.Duration(*probes))
		}
		io.Copy(io.Discard, os.Stdin)
		return
	case "beats":
		beats(agents)
	case "gentle":
		gentle(agents)
	case "storm":
		for _, one := range agents {
			go one.storm()
		}
		io.Copy(io.Discard, os.Stdin)
		return
	case "rest":
		agents[0].rest()
	}
	close(output)
	<-done
}

func read(name string) []*agent {
	var given hosts
	data, err := os.ReadFile(name)
	check(err)
	check(json.Unmarshal(data, &given))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(given.Root))
	var agents []*agent
	for number, one := range given.Agents {
		pair, err := tls.X509KeyPair([]byte(one.Chain), []byte(one.Key))
		check(err)
		block, _ := pem.Decode([]byte(one.Chain))
		sum := sha256.Sum256(block.Bytes)
		config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: "localhost"}
		agents = append(agents, &agent{
			number: number, name: one.Name, config: config, key: pair.PrivateKey.(*ecdsa.PrivateKey), print: fmt.Sprintf("%x", sum),
		})
	}
	return agents
}

// live connects, reports, and waits for news, for ever; when the connection ends it comes back, spread over the jitter.
func (a *agent) live() {
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			a.receipt++
			time.Sleep(time.Duration(mathrand.Float64() * *jitter * float64(time.Second)))
		}
		if err := a.once(); err != nil {
			say("E %d %v\n", a.number, err)
		}
	}
}

func (a *agent) once() error {
	for tries := 0; ; tries++ { // the server is away: again soon, but not at once
		err := a.connect()
		if err == nil {
			break
		}
		time.Sleep(time.Duration((1 + mathrand.Float64()) * float64(time.Second)))
	}
	defer a.tls.Close()
	a.sequence++
	for {
		status, body, err := a.post("/v1/reports", a.batch())
		if err != nil {
			a.sequence-- // not acknowledged: the same again
			return err
		}
		if status == 200 {
			break
		}
		if status != 429 && status != 503 {
			return fmt.Errorf("report: %d %.200s", status, body)
		}
		time.Sleep(time.Duration((1 + mathrand.Float64()) * float64(time.Second)))
	}
	say("B %d %d %d\n", a.number, time.Now().UnixNano(), a.receipt)
	for {
		status, body, err := a.post("/v1/watch", a.watch(*wait))
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		if status == 429 || status == 503 {
			time.Sleep(time.Second)
			continue
		}
		if status != 200 {
			return fmt.Errorf("watch: %d %.200s", status, body)
		}
		version, err := versionOf(body)
		if err != nil {
			return err
		}
		if version > a.version {
			a.version = version
			say("H %d %d %d\n", a.number, now, version)
		}
	}
}

// rest shows what an agent costs that has nothing to say: a handshake, some heartbeats, some watches without news.
func (a *agent) rest() {
	check(a.connect())
	say("W %d %d\n", a.wire.sent.Load(), a.wire.received.Load())
	a.sequence++
	exchange := func(path string, body func() []byte) {
		sent, received := a.wire.sent.Load(), a.wire.received.Load()
		status, answer, err := a.post(path, body())
		check(err)
		if status != 200 {
			panic(string(answer))
		}
		if version, err := versionOf(answer); err == nil && version > a.version {
			a.version = version
		}
		say("W %d %d\n", a.wire.sent.Load()-sent, a.wire.received.Load()-received)
	}
	exchange("/v1/watch", func() []byte { return a.watch(0) })
	for range 5 {
		exchange("/v1/watch", func() []byte { return a.watch(1) })
	}
	for range 5 {
		a.sequence++
		exchange("/v1/reports", a.heartbeat)
	}
}

func (a *agent) probe(after time.Duration) {
	time.Sleep(after)
	for {
		if a.connect() == nil {
			for {
				began := time.Now()
				request := fmt.Sprintf("GET /v1/repositories/shop/web/metadata/timestamp.json HTTP/1.1\r\nHost: %s\r\nIf-None-Match: \"x\"\r\n\r\n", *address)
				if _, err := a.tls.Write([]byte(request)); err != nil {
					break
				}
				if _, _, err := a.answer(); err != nil {
					break
				}
				say("P %d %d\n", began.UnixNano(), time.Since(began).Nanoseconds())
				time.Sleep(time.Until(began.Add(100 * time.Millisecond)))
			}
			a.tls.Close()
		}
		time.Sleep(time.Second)
	}
}

// beats has every agent connect, then all of them report without a pause.
func beats(agents []*agent) {
	var connected, finished sync.WaitGroup
	begin := make(chan struct{})
	connected.Add(len(agents))
	finished.Add(len(agents))
	for _, one := range agents {
		go func(a *agent) {
			defer finished.Done()
			check(a.connect())
			a.beat() // who asks nothing for long is cut off
			connected.Done()
			<-begin
			for range *each {
				say("L %d\n", a.beat().Nanoseconds())
			}
		}(one)
	}
	connected.Wait()
	began := time.Now()
	close(begin)
	finished.Wait()
	say("R %d %d\n", len(agents)**each, time.Since(began).Nanoseconds())
}

// gentle has every agent report now and then, as many as it may, and tells how long each took.
func gentle(agents []*agent) {
	var finished sync.WaitGroup
	finished.Add(len(agents))
	for _, one := range agents {
		go func(a *agent) {
			defer finished.Done()
			check(a.connect())
			for range *each {
				time.Sleep(time.Duration((0.2 + 0.4*mathrand.Float64()) * float64(time.Second)))
				say("L %d\n", a.beat().Nanoseconds())
			}
		}(one)
	}
	finished.Wait()
}

// beat has one heartbeat acknowledged, and returns how long that took.
func (a *agent) beat() time.Duration {
	a.sequence++
	began := time.Now()
	status, body, err := a.post(*path, a.heartbeat())
	check(err)
	if status != 200 {
		panic(fmt.Sprintf("%d %.200s", status, body))
	}
	return time.Since(began)
}

// storm has an agent report without a pause, whatever it is told.
func (a *agent) storm() {
	for {
		if a.connect() != nil {
			time.Sleep(time.Second)
			continue
		}
		for {
			a.sequence++
			status, _, err := a.post(*path, a.heartbeat())
			if err != nil {
				break
			}
			say("S %d\n", status)
		}
		a.tls.Close()
	}
}

func (a *agent) connect() error {
	dialling <- struct{}{}
	defer func() { <-dialling }()
	plain, err := net.DialTimeout("tcp", *address, 30*time.Second)
	if err != nil {
		return err
	}
	a.wire = &counted{Conn: plain}
	a.tls = tls.Client(a.wire, a.config)
	a.tls.SetDeadline(time.Now().Add(30 * time.Second))
	if err := a.tls.Handshake(); err != nil {
		plain.Close()
		return err
	}
	a.tls.SetDeadline(time.Time{})
	a.reader = bufio.NewReaderSize(a.tls, 4096)
	return nil
}

func (a *agent) post(path string, body []byte) (int, []byte, error) {
	head := fmt.Sprintf(
		"POST %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: identity\r\nContent-Length: %d\r\nUser-Agent: ordain-agent\r\nContent-Type: application/json\r\n\r\n",
		path, *address, len(body))
	if _, err := a.tls.Write(append([]byte(head), body...)); err != nil {
		return 0, nil, err
	}
	return a.answer()
}

func (a *agent) answer() (int, []byte, error) {
	response, err := http.ReadResponse(a.reader, nil)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// The wire documents are canonical JSON: keys sorted, no white space.

func (a *agent) watch(seconds int) []byte {
	versions := ""
	if a.version > 0 {
		versions = fmt.Sprintf(`,"versions":{"web":%d}`, a.version)
	}
	wait := ""
	if seconds > 0 {
		wait = fmt.Sprintf(`,"wait":%d`, seconds)
	}
	return []byte(fmt.Sprintf(`{"fleets":["web"],"format":1,"reported":%d%s%s}`, a.sequence, versions, wait))
}

func (a *agent) heartbeat() []byte {
	return []byte(fmt.Sprintf(`{"format":1,"sentAt":"2026-11-23T12:00:00Z","sequence":%d,"version":"1.0"}`, a.sequence))
}

func (a *agent) batch() []byte {
	receipt := fmt.Sprintf(`{"agent":"%s","at":"2026-11-23T12:00:00Z","attempt":1,"digest":"%064d","fleet":"shop/web","format":1,`+
		`"generation":%d,"group":"all","members":1,"mode":null,"result":"applied","serial":1,"why":""}`, a.name, 1, a.receipt)
	sum := sha256.Sum256([]byte("ordain receipt 1\x00" + receipt))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	check(err)
	return []byte(fmt.Sprintf(`{"format":1,"receipts":[{"certificate":"%s","receipt":%s,"signature":"%s"}],"sentAt":"2026-11-23T12:00:00Z","sequence":%d,"version":"1.0"}`,
		a.print, receipt, base64.StdEncoding.EncodeToString(signature), a.sequence))
}

// versionOf returns the version of the timestamp in an answer, 0 where it brings none. It looks for it, since parsing all would cost more than it tells.
func versionOf(body []byte) (int, error) {
	_, after, found := bytes.Cut(body, []byte(`"metadata/timestamp.json":`))
	if !found {
		return 0, nil
	}
	var text string
	if err := json.NewDecoder(bytes.NewReader(after)).Decode(&text); err != nil {
		return 0, err
	}
	var stamp struct{ Signed struct{ Version int } }
	err := json.Unmarshal([]byte(text), &stamp)
	return stamp.Signed.Version, err
}

func say(format string, values ...any) { output <- fmt.Sprintf(format, values...) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}
