# stackrbd: targets for runbooks.  `make` alone explains them.
# make answers 2 for every failure; a runbook that needs the exit code calls inv.
# SITE=file, LIMIT=hosts: passed on to every task.

# Where it is set, each start compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install dask demo integrate check verify restart test unit browser lint faults clouds canary tempest el kolla cephadm modular generations generation-of-today upgrades apart recovery mons rotation several fault-loop fuzz plan undo doctor status report bench bench-costs bench-latency bench-scale docs pictures lab-up lab-down

VENV := .venv
BROWSER := .browser
TEMPEST := .tempest
DOCS_VENV := .docs
APART := .apart
EL := .el
INV := $(VENV)/bin/inv
FLAGS := $(if $(SITE),--site $(SITE)) $(if $(LIMIT),--limit $(LIMIT))

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.installed ## put everything that is needed into .venv

$(VENV)/.installed: requirements.lock pyproject.toml
	@python3 -c 'import ensurepip' 2>/dev/null || \
	  { echo "python3-venv is missing; installing it"; apt-get update -qq && apt-get install -y -qq python3-venv; }
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo 'Installed. Put it on your PATH: export PATH="$$PWD/$(VENV)/bin:$$PATH"; then `inv` says what to do now.'

dask: $(VENV)/.dask ## put what --engine dask needs into .venv too (docs/scale.md)

$(VENV)/.dask: requirements-dask.lock $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --no-deps --require-hashes -r requirements-dask.lock
	@touch $@

demo: install ## the main job on the embedded lab (root, Debian 12): start, integrate, verify
	$(INV) lab.up
	$(INV) integrate --yes
	$(INV) verify
	@echo 'The lab is up: $(INV) says what to do now, $(INV) lab.down takes it away.'

integrate: install ## put the site's OpenStack onto its Ceph
	$(INV) integrate $(FLAGS)

check: install ## show what integrate would do, change nothing
	$(INV) integrate --check --diff $(FLAGS)

plan: install ## show all that integrate would do, with diffs (OUT=file keeps it)
	$(INV) plan $(if $(OUT),--out $(OUT)) $(FLAGS)

undo: install ## take the last run back (RUN=id: that one)
	$(INV) undo $(if $(RUN),--run $(RUN)) $(FLAGS)

doctor: install ## what is wrong, and what mends it
	$(INV) doctor $(FLAGS)

status: install ## roles, versions, pools, drift, who holds which secret
	$(INV) status $(FLAGS)

report: install ## the site's state and its runs as a page, JSON and JUnit (OUT=folder; PROM=file.prom)
	$(INV) report $(if $(OUT),--out $(OUT)) $(if $(PROM),--prom $(PROM)) $(FLAGS)

verify: install ## prove that it works: image, volume, clone, guest
	$(INV) verify $(FLAGS)

restart: install ## do the pending restarts
	$(INV) services.restart $(FLAGS)

lab-up: install ## start the embedded lab
	$(INV) lab.up

lab-down: install ## stop the lab and leave nothing but its cache
	$(INV) lab.down

unit: install dask ## the tests that need no host
	$(VENV)/bin/pytest -q -n 2 tests/unit tests/contract

browser: install $(BROWSER)/.brought $(DOCS_VENV)/.installed ## the report in a headless Chromium, which is brought here first
	$(VENV)/bin/python -m pytest -q tests/browser

docs: install $(DOCS_VENV)/.installed ## the documents and the reference as a site, in .docs/site
	$(VENV)/bin/python -m manual

$(DOCS_VENV)/.installed: requirements-docs.lock
	python3 -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install --quiet --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

pictures: install $(BROWSER)/.brought ## the README's pictures, of a real plan, integrate and verify on the lab that runs (root)
	$(VENV)/bin/python -m manual.recorder

$(BROWSER)/.brought:
	@tests/unpacked.sh $(BROWSER) chromium-headless-shell

test: install dask lint $(BROWSER)/.brought $(DOCS_VENV)/.installed ## style, types and the tests, the lab's included, and the main job on another generation (root, Debian 12)
	$(VENV)/bin/pytest -q -n 2 tests/unit tests/contract
	$(VENV)/bin/pytest -q tests/browser tests/bench tests/package
	$(VENV)/bin/pytest -q -x --timeout 1800 --durations 20 tests/lab
	$(VENV)/bin/python -m tests.generations --today --main

faults: install ## every fault of docs/faults.md, on the lab (most of an hour)
	$(VENV)/bin/python -m pytest -q --timeout 600 tests/faults

clouds: install ## clouds broken on purpose that doctor names and mends, on the lab
	$(VENV)/bin/python -m pytest -q --timeout 600 tests/clouds

canary: install ## killed canaries, and rollouts that a canary stops, on the lab (half an hour)
	$(VENV)/bin/python -m pytest -q --timeout 1800 tests/canary

tempest: install $(TEMPEST)/.installed ## OpenStack's own acceptance tests against the integrated lab (half an hour; ONLY=regex; TYPE=a volume type, TOPOLOGY=file and SITE=file of a lab of several, with cinder-backup)
	$(INV) lab.up $(if $(TOPOLOGY),--topology $(TOPOLOGY))
	$(if $(SITE),$(VENV)/bin/python -m lab.more_packages controller01 cinder-backup dmidecode)
	$(INV) integrate --yes $(FLAGS)
	$(VENV)/bin/python -m tests.tempest $(if $(ONLY),--only '$(ONLY)') $(if $(TYPE),--type $(TYPE))

$(TEMPEST)/.installed: requirements-tempest.lock
	python3 -m venv $(TEMPEST)
	$(TEMPEST)/bin/pip install --quiet --no-deps --require-hashes -r requirements-tempest.lock
	@touch $@

generations: install ## a user's whole way on each generation of the lab (GEN=name, CEPH=name, TOPOLOGY=file; DOCS=1 writes docs/generations.md; hours)
	$(VENV)/bin/python -m tests.generations $(GEN) $(if $(CEPH),--ceph $(CEPH)) $(if $(TOPOLOGY),--topology $(TOPOLOGY)) $(if $(DOCS),--docs)

generation-of-today: install ## the main job (integrate, a second run, verify) on one more generation, which the date chooses
	$(VENV)/bin/python -m tests.generations --today --main

upgrades: install ## an integrated cloud whose Ceph and OpenStack go to trixie's, and then Ceph to sid's, while two guests write and read (FROM=name, TO=ceph=name,openstack=name; DOCS=1 writes docs/generations.md; two hours)
	$(VENV)/bin/python -m tests.generations.upgrade $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) $(if $(DOCS),--docs)

apart: install $(APART)/.brought $(APART)/mysql/.brought ## backups and recovery on hosts apart, on the lab's kept cloud (root)
	@$(VENV)/bin/python -m tests.apart.chroots || { $(INV) lab.up && $(INV) lab.down; }
	STACKRBD_APART=1 unshare --net --mount sh -c 'ip link set lo up; \
	  exec $(VENV)/bin/python -m pytest -q --timeout 900 tests/apart'

el: install $(EL)/.brought ## packages and their source by real dnf and rpm, on a host of the EL family in a namespace (root)
	STACKRBD_EL=1 unshare --net --mount --pid --fork --kill-child --mount-proc sh -c 'ip link set lo up; \
	  $(VENV)/bin/python -m pytest -q --timeout 600 tests/el $(if $(ONLY),-k "$(ONLY)"); exit $$?'

$(EL)/.brought:
	@tests/unpacked.sh $(EL) dnf rpm createrepo-c openssh-server sudo
	@mkdir -p $(EL)/root

.PHONY: handover
handover: install ## what we write for Kolla-Ansible, rendered by its own genconfig of eight releases (half an hour; REL=17.9.0, one of them)
	$(VENV)/bin/python -m tests.handover.kolla $(REL)
	$(VENV)/bin/python -m pytest -q --timeout 3600 tests/handover $(if $(REL),-k $(REL))

kolla: install ## a compute, then Glance and Cinder too, in Kolla's containers beside packages, on the lab (half an hour)
	STACKRBD_KOLLA=1 $(VENV)/bin/python -m pytest -q -x --timeout 3600 tests/lab/test_kolla.py

cephadm: install ## a cloud on a cluster that cephadm runs in containers, on the lab (a quarter of an hour)
	STACKRBD_CEPHADM=1 $(VENV)/bin/python -m pytest -q -x --timeout 3600 tests/lab/test_cephadm.py

modular: install ## a compute with libvirt in modules beside one with libvirtd, on the lab (a quarter of an hour)
	STACKRBD_MODULAR=1 $(VENV)/bin/python -m pytest -q -x --timeout 3600 tests/lab/test_modular.py

$(APART)/.brought:
	@tests/unpacked.sh $(APART) age zstd mariadb-server-core mariadb-client mariadb-client-core

$(APART)/mysql/.brought: $(APART)/.brought
	@$(VENV)/bin/python -m tests.apart.mysql
	@touch $@

recovery: install ## a lost controller, and 10 GiB of databases, on the lab (hours)
	$(VENV)/bin/python -m pytest -q --timeout 10800 tests/recovery

mons: install ## attachments that keep monitors of the past, and three that move while an instance runs, on the lab (half an hour)
	STACKRBD_MONS=1 $(VENV)/bin/python -m pytest -q -x --timeout 2400 tests/lab/test_frozen.py tests/lab/test_mons.py

rotation: install ## keys that are rotated, to aes256k, under two guests at work, killed and undone, on the lab (an hour; GEN=name, sid)
	STACKRBD_ROTATION=1 STACKRBD_LAB_GENERATION=$(or $(GEN),sid) \
	    $(VENV)/bin/python -m pytest -q -x -s --timeout 7200 tests/lab/test_rotation.py
	STACKRBD_ROTATION=1 $(VENV)/bin/python -m pytest -q -x -s --timeout 3600 tests/lab/test_old_librados.py

several: install ## several backends, stores, clusters, pools of other kinds and cinder-backup, on the lab (two hours)
	STACKRBD_SEVERAL=1 $(VENV)/bin/python -m pytest -q --timeout 3600 \
	    tests/lab/test_several.py tests/lab/test_remove.py tests/lab/test_adopt.py \
	    tests/lab/test_volume_backups.py tests/lab/test_supplied.py tests/lab/test_whole_site.py \
	    tests/lab/test_pages.py tests/lab/test_whole_removal.py tests/lab/test_mirroring.py \
	    tests/lab/test_backends.py::test_another_backend_in_default_gets_a_section_beside_ours

fuzz: install ## what comes from outside, damaged in all ways (an hour; INPUTS=number, SEED=word)
	$(VENV)/bin/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

fault-loop: install ## stop integrate at each of its steps, both ways; hours; can be resumed
	$(INV) lab.up
	$(VENV)/bin/python -m tests.faults.loop points --kind kill
	$(VENV)/bin/python -m tests.faults.loop points --kind cut
	$(VENV)/bin/python -m tests.faults.loop operators

bench: install ## cost beside its peers on N simulated hosts (root, Debian 12; DOCS=1 writes docs/speed.*)
	$(VENV)/bin/python -m bench $(if $(N),--hosts $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(WAYS),--ways $(WAYS)) $(if $(DOCS),--docs)

bench-costs: install ## what one host's processor time goes into, cold and converged (root, Debian 12)
	$(VENV)/bin/python -m bench --show costs --hosts $(or $(N),8) --forks 1

bench-latency: install ## wall time beside its critical path, N hosts that take time and no processor (root, Debian 12)
	$(VENV)/bin/python -m bench --show latency --hosts $(or $(N),1000)

bench-scale: install dask ## memory, dead hosts, dask workers and doctor, on N simulated hosts each (root, Debian 12; an hour)
	$(VENV)/bin/python -m bench --show scale --hosts $(or $(N),1000)
	$(VENV)/bin/python -m bench --show faulty --hosts $(or $(N),1000)
	$(VENV)/bin/python -m bench --show dask --hosts 200
	$(VENV)/bin/python -m bench --show kept --hosts 200
	$(VENV)/bin/python -m bench --show doctor --hosts 200

lint: install dask ## style, form and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
