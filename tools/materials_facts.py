"""Facts for the sample items of ChemBench and Matbench; `make_samples_materials.py` computes everything else.

Every table states its source. `test_sample_facts.py` compares boiling points, enthalpies, lattice constants, moduli,
refractive indices, gaps and glasses with data shipped by packages; the other values are from the cited abstracts and tables.
For tasks whose values were computed by their authors (gaps and energies of the Materials Project, exfoliation energies of
JARVIS, Castelli's perovskites), items use a published value of the same quantity.
"""

COMPOUNDS = [
    ("ethanol", "CCO", "C2H6O", "a primary alcohol with two carbon atoms"),
    ("acetone", "CC(C)=O", "C3H6O", "the simplest ketone"),
    ("acetic acid", "CC(=O)O", "C2H4O2", "the carboxylic acid with two carbon atoms"),
    ("benzene", "c1ccccc1", "C6H6", "an unsubstituted aromatic ring of six carbon atoms"),
    ("toluene", "Cc1ccccc1", "C7H8", "a benzene ring with one methyl group"),
    ("phenol", "Oc1ccccc1", "C6H6O", "a benzene ring with one hydroxy group"),
    ("aniline", "Nc1ccccc1", "C6H7N", "a benzene ring with one amino group"),
    ("pyridine", "c1ccncc1", "C5H5N", "an aromatic six-membered ring with one nitrogen atom"),
    ("diethyl ether", "CCOCC", "C4H10O", "the symmetrical ether of two ethyl groups"),
    ("acetonitrile", "CC#N", "C2H3N", "the nitrile with two carbon atoms"),
    ("chloroform", "ClC(Cl)Cl", "CHCl3", "methane with three hydrogen atoms replaced by chlorine"),
    ("cyclohexane", "C1CCCCC1", "C6H12", "a saturated ring of six carbon atoms"),
    ("glycine", "NCC(=O)O", "C2H5NO2", "the amino acid that has no stereocentre"),
    ("urea", "NC(N)=O", "CH4N2O", "the diamide of carbonic acid"),
    ("naphthalene", "c1ccc2ccccc2c1", "C10H8", "two fused benzene rings"),
    ("thiophene", "c1ccsc1", "C4H4S", "an aromatic five-membered ring with one sulfur atom"),
]
"""Name, SMILES, formula, description."""

REACTIONS = [
    ("heating acetic acid with ethanol and a trace of acid", "CCOC(C)=O", "C2H4O2 + C2H6O = C4H8O2 + H2O"),
    ("heating acetic acid with methanol and a trace of acid", "COC(C)=O", "C2H4O2 + CH4O = C3H6O2 + H2O"),
    ("treating aniline with acetyl chloride and a base", "CC(=O)Nc1ccccc1", "C6H7N + C2H3OCl = C8H9NO + HCl"),
    (
        "treating benzoyl chloride with methanol and a base",
        "COC(=O)c1ccccc1",
        "C7H5OCl + CH4O = C8H8O2 + HCl",
    ),
    (
        "treating benzene with one equivalent of bromine and iron(III) bromide",
        "Brc1ccccc1",
        "C6H6 + Br2 = C6H5Br + HBr",
    ),
    (
        "mono-nitration of benzene with nitric and sulfuric acid",
        "O=[N+]([O-])c1ccccc1",
        "C6H6 + HNO3 = C6H5NO2 + H2O",
    ),
    ("hydrogenation of nitrobenzene over palladium", "Nc1ccccc1", "C6H5NO2 + H6 = C6H7N + H4O2"),
    ("hydrogenation of cyclohexene over palladium", "C1CCCCC1", "C6H10 + H2 = C6H12"),
    ("adding bromine to ethene", "BrCCBr", "C2H4 + Br2 = C2H4Br2"),
    ("reducing acetone with sodium borohydride", "CC(C)O", "C3H6O + H2 = C3H8O"),
    ("reducing benzaldehyde with sodium borohydride", "OCc1ccccc1", "C7H6O + H2 = C7H8O"),
    ("treating phenol with iodomethane and potassium carbonate", "COc1ccccc1", "C6H6O + CH3I = C7H8O + HI"),
    ("oxidising ethanol with an excess of acidic dichromate", "CC(=O)O", "C2H6O + O2 = C2H4O2 + H2O"),
    ("treating cyclohexanone with hydroxylamine", "ON=C1CCCCC1", "C6H10O + NH3O = C6H11NO + H2O"),
]
"""Description, main product, balanced equation (hydrogen and oxygen stand for reductant and oxidant)."""

BOILING_POINTS = [
    ("diethyl ether", 34.6), ("acetone", 56.1), ("methanol", 64.7), ("hexane", 68.7), ("ethanol", 78.3),
    ("cyclohexane", 80.7), ("water", 100.0), ("toluene", 110.6), ("pyridine", 115.2), ("acetic acid", 117.9),
    ("chlorobenzene", 131.7), ("dichloromethane", 39.6), ("dimethylformamide", 153.0), ("dimethyl sulfoxide", 189.0),
]  # fmt: skip
"""Solvent, boiling point in °C at 1 atm (CRC Handbook, Common Chemistry)."""

ALLOYS = [
    ("1020 annealed", {"C": 0.2, "Mn": 0.45}, 42.8),
    ("1040 annealed", {"C": 0.4, "Mn": 0.75}, 51.3),
    ("4140 annealed", {"C": 0.4, "Cr": 1.0, "Mo": 0.2, "Mn": 0.9, "Si": 0.25}, 60.5),
    ("4340 annealed", {"C": 0.4, "Ni": 1.8, "Cr": 0.8, "Mo": 0.25, "Mn": 0.7, "Si": 0.25}, 68.5),
    ("304 annealed", {"Cr": 19.0, "Ni": 9.0, "Mn": 1.5, "Si": 0.5, "C": 0.05}, 30.0),
    ("HY-80", {"Ni": 2.6, "Cr": 1.4, "Mo": 0.4, "Mn": 0.25, "Si": 0.25, "C": 0.14}, 80.0),
    ("HY-100", {"Ni": 2.9, "Cr": 1.4, "Mo": 0.4, "Mn": 0.25, "Si": 0.25, "C": 0.16}, 100.0),
    ("HY-130", {"Ni": 5.0, "Cr": 0.55, "Mo": 0.5, "Mn": 0.75, "Si": 0.25, "C": 0.1}, 130.0),
    ("maraging 200", {"Ni": 18.0, "Co": 8.5, "Mo": 3.3, "Ti": 0.2, "Al": 0.1, "C": 0.01}, 200.0),
    ("maraging 250", {"Ni": 18.0, "Co": 7.5, "Mo": 5.0, "Ti": 0.4, "Al": 0.1, "C": 0.01}, 250.0),
    ("maraging 300", {"Ni": 18.5, "Co": 9.0, "Mo": 4.8, "Ti": 0.6, "Al": 0.1, "C": 0.01}, 300.0),
    ("maraging 350", {"Ni": 18.0, "Co": 12.0, "Mo": 4.8, "Ti": 1.4, "Al": 0.1, "C": 0.01}, 350.0),
]
"""Name, weight percentages (within the specification's ranges; the rest is iron), yield strength in ksi.

HY steels and maraging grades are named after their yield strengths in ksi (Aerospace Structural Metals Handbook, code 1225,
1987, for the latter); values of annealed steels are from "Material Strengths", thedirtforum.com/materials.htm.
"""

BAND_GAPS = [
    ("Si", 1.12), ("Cu", 0.0), ("Ge", 0.66), ("GaAs", 1.42), ("Al", 0.0), ("InP", 1.35), ("GaP", 2.26), ("ZnO", 3.35),
    ("W", 0.0), ("CdS", 2.42), ("CdTe", 1.56), ("GaN", 3.36), ("InSb", 0.17), ("PbS", 0.41), ("C", 5.47), ("GaSb", 0.72),
]  # fmt: skip
"""Formula, band gap in eV at 300 K (Sze, Physics of Semiconductor Devices, 2nd ed. 1981, pp. 848-849)."""

METALS = ["Cu", "Al", "W", "Ag", "Au", "Ni", "Fe", "Mo"]

GLASSES = [
    "Pd40Ni40P20", "Zr65Al7.5Cu17.5Ni10", "Zr41.2Ti13.8Cu12.5Ni10Be22.5", "Pd43Ni10Cu27P20", "Mg65Cu25Y10",
    "La55Al25Ni20", "Au75Si25", "Fe40Ni40P14B6", "Fe80B20", "Cu50Zr50",
]  # fmt: skip
NO_GLASSES = ["Al", "Cu", "Ag", "Ni", "Pb", "Zn"]
"""Pure metals, which crystallise at any cooling rate used for alloys."""

ELEMENT_CRYSTALS: dict[str, tuple[str, float]] = {
    "Cu": ("fcc", 3.615), "Al": ("fcc", 4.050), "Ag": ("fcc", 4.086), "Au": ("fcc", 4.078), "Ni": ("fcc", 3.524),
    "Fe": ("bcc", 2.867), "W": ("bcc", 3.165), "Mo": ("bcc", 3.147), "Si": ("diamond", 5.431),
    "Ge": ("diamond", 5.658), "C": ("diamond", 3.567),
}  # fmt: skip
"""Element -> structure and lattice constant in Å."""

COMPOUND_CRYSTALS: dict[str, tuple[str, float]] = {
    "NaCl": ("rocksalt", 5.640), "KCl": ("rocksalt", 6.293), "LiF": ("rocksalt", 4.026), "NaF": ("rocksalt", 4.634),
    "KBr": ("rocksalt", 6.600), "MgO": ("rocksalt", 4.212), "CaO": ("rocksalt", 4.811), "AgCl": ("rocksalt", 5.549),
    "CsCl": ("caesium chloride", 4.123), "ZnS": ("zincblende", 5.409), "GaAs": ("zincblende", 5.653),
    "GaP": ("zincblende", 5.451), "InP": ("zincblende", 5.869), "BN": ("zincblende", 3.615), "SiC": ("zincblende", 4.360),
    "AlP": ("zincblende", 5.464), "AlAs": ("zincblende", 5.661), "AlSb": ("zincblende", 6.136),
    "InAs": ("zincblende", 6.058), "GaSb": ("zincblende", 6.096), "InSb": ("zincblende", 6.479),
    "ZnTe": ("zincblende", 6.103), "CdTe": ("zincblende", 6.482), "CaF2": ("fluorite", 5.463), "SrF2": ("fluorite", 5.800),
    "BaF2": ("fluorite", 6.200),
}  # fmt: skip
"""Compound -> structure and lattice constant in Å (zincblende: Sze, as above; others: consistent with their CRC densities)."""

NOBLE_GAS_CRYSTALS = {"Ne": ("fcc", 4.43), "Ar": ("fcc", 5.26), "Kr": ("fcc", 5.72), "Xe": ("fcc", 6.20)}
"""Solid noble gas -> structure and lattice constant in Å (Kittel; ase.data.reference_states)."""
PBE_GAP_ELEMENTS = ["Cu", "Si", "Al", "Ge", "Ag", "Ne", "Au", "Ar", "Ni", "Kr", "W", "Xe", "Mo", "Fe"]
"""Elements whose PBE gaps are taken from matminer's table of OQMD ground states (`GSbandgap`)."""

FORMATION_ENTHALPIES = [
    ("Cu", 0.0), ("NaCl", -411.2), ("KCl", -436.5), ("MgO", -601.6), ("CaO", -634.9), ("LiF", -616.0), ("NaF", -576.6),
    ("Al", 0.0), ("KBr", -393.8), ("AgCl", -127.0), ("CsCl", -443.0), ("ZnS", -206.0), ("CaF2", -1228.0), ("Si", 0.0),
]  # fmt: skip
"""Formula, standard enthalpy of formation in kJ/mol (CRC Handbook)."""

ELASTIC_CONSTANTS = [
    ("Cu", (168.4, 121.4, 75.4)), ("Al", (107.3, 60.9, 28.3)), ("Ag", (124.0, 93.4, 46.1)), ("Au", (192.9, 163.8, 41.5)),
    ("Ni", (248.1, 154.9, 124.2)), ("Fe", (231.4, 134.7, 116.4)), ("W", (522.4, 204.4, 160.8)),
    ("Mo", (463.7, 157.8, 109.2)), ("Si", (165.6, 63.9, 79.5)), ("Ge", (128.5, 48.3, 66.8)), ("C", (1076.0, 125.0, 576.0)),
    ("NaCl", (48.7, 12.4, 12.6)), ("MgO", (297.0, 95.2, 155.7)), ("LiF", (111.2, 42.0, 62.8)),
]  # fmt: skip
"""Formula, elastic constants C11, C12, C44 in GPa (Simmons and Wang 1971; CRC Handbook)."""

REFRACTIVE_INDICES = [
    ("C", 2.417, "Peter"), ("NaCl", 1.544, "Li"), ("KCl", 1.490, "Li"), ("KBr", 1.560, "Li"), ("LiF", 1.392, "Li"),
    ("NaF", 1.325, "Li"), ("MgO", 1.737, "Stephens"), ("CaF2", 1.434, "Daimon-25"), ("ZnS", 2.367, "Debenham"),
    ("AgCl", 2.066, "Tilton"), ("CsCl", 1.640, "Li"), ("SrF2", 1.438, "Li"), ("BaF2", 1.474, "Malitson"),
    ("Si", 3.418, "Chandler-Horowitz"), ("Ge", 4.004, "Burnett"),
]  # fmt: skip
"""Formula, refractive index at 0.5893 µm (Si and Ge: 10 µm), its page at refractiveindex.info."""

PHONONS = [
    ("C", 1332.0),  # Solin and Ramdas 1970, Phys. Rev. B 1, 1687
    ("Si", 520.2), ("Ge", 300.7),  # Parker, Feldman and Ashkin 1967, Phys. Rev. 155, 712
    ("InSb", 197.2), ("InAs", 243.3), ("GaSb", 240.3), ("GaAs", 297.3), ("InP", 351.0), ("AlSb", 345.0),
    # Hass and Henvis 1962, J. Phys. Chem. Solids 23, 1099
    ("ZnTe", 205.98), ("CdTe", 169.77),  # Sci. Rep. 14 (2024), s41598-024-83070-7, table 1 at no pressure
]  # fmt: skip
"""Formula, highest (longitudinal) optical phonon at the zone centre in 1/cm, the upper end of the density of states."""

FLUORITE_WAVELENGTHS = [("CaF2", 38.9), ("SrF2", 46.1), ("BaF2", 54.3)]
"""Formula, wavelength of the transverse optical mode in µm (Kaiser et al. 1962, Phys. Rev. 127, 1950)."""
STATIC_INDICES = {"CaF2": 2.576, "SrF2": 2.492, "BaF2": 2.637}
"""Refractive index at 1 mm and 300 K (Bosomworth 1967, at refractiveindex.info)."""

GRAPHITE_BINDING_ENERGY = 48.0
"""Interlayer binding energy of graphite in meV per atom by RPA (Lebègue et al. 2010, Phys. Rev. Lett. 105, 196401)."""
EXFOLIATION_ENERGY_PER_AREA = 20.0
"""Exfoliation energy of most layered crystals in meV/Å² (Björkman et al. 2012, Phys. Rev. Lett. 108, 235502)."""
LAYERED_CRYSTALS = [
    ("MoS2", "2H", 3.160, 12.294), ("MoSe2", "2H", 3.289, 12.927), ("MoTe2", "2H", 3.518, 13.974),
    ("WS2", "2H", 3.153, 12.323), ("WSe2", "2H", 3.282, 12.960), ("TiS2", "1T", 3.407, 5.695),
    ("TiSe2", "1T", 3.540, 6.008), ("HfS2", "1T", 3.630, 5.850), ("HfSe2", "1T", 3.750, 6.160),
    ("ZrS2", "1T", 3.660, 5.830), ("ZrSe2", "1T", 3.770, 6.130),
]  # fmt: skip
"""Formula, type, lattice constants in Å."""

OXIDES = {
    "La2O3": ("1312-81-8", -1793.7), "Al2O3": ("1344-28-1", -1675.7), "Ga2O3": ("12024-21-4", -1089.1),
    "Sc2O3": ("12060-08-1", -1908.8), "In2O3": ("1312-43-2", -925.8), "Cr2O3": ("1308-38-9", -1139.7),
    "Fe2O3": ("1309-37-1", -824.2), "Ho2O3": ("12055-62-8", -1880.7), "Er2O3": ("12061-16-4", -1897.9),
    "Tm2O3": ("12036-44-1", -1888.7), "Yb2O3": ("1314-37-0", -1814.6), "CoO": ("1307-96-6", -237.9),
    "BaO": ("1304-28-5", -548.0), "CeO2": ("1306-38-3", -1088.7),
}  # fmt: skip
"""Oxide -> CAS number and standard enthalpy of formation in kJ/mol (CRC Handbook)."""

PEROVSKITES = [
    # Cheng and Navrotsky 2003, J. Mater. Res. 18, 2501
    ("LaAlO3", {"La2O3": 0.5, "Al2O3": 0.5}, -69.61), ("LaGaO3", {"La2O3": 0.5, "Ga2O3": 0.5}, -52.39),
    ("LaScO3", {"La2O3": 0.5, "Sc2O3": 0.5}, -38.64), ("LaInO3", {"La2O3": 0.5, "In2O3": 0.5}, -23.99),
    # Cheng et al. 2005, J. Mater. Res. 20, 191
    ("LaCrO3", {"La2O3": 0.5, "Cr2O3": 0.5}, -70.06), ("LaFeO3", {"La2O3": 0.5, "Fe2O3": 0.5}, -64.58),
    ("LaCoO3", {"La2O3": 0.5, "CoO": 1.0}, -107.64),
    # Qi et al. 2015, J. Solid State Chem. 227, 150
    ("LaHoO3", {"La2O3": 0.5, "Ho2O3": 0.5}, -8.3), ("LaErO3", {"La2O3": 0.5, "Er2O3": 0.5}, -9.9),
    ("LaTmO3", {"La2O3": 0.5, "Tm2O3": 0.5}, -10.8), ("LaYbO3", {"La2O3": 0.5, "Yb2O3": 0.5}, -12.3),
    # Ushakov et al. 2002, MRS Proc. 718, 71
    ("BaCeO3", {"BaO": 1.0, "CeO2": 1.0}, -51.0),
]  # fmt: skip
"""Formula, moles of the oxides it is formed from, enthalpy of this reaction in kJ/mol by calorimetry."""
